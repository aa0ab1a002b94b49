/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/score/number.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t digits_length(const char *text, size_t size, size_t at)
{
    size_t n = 0;
    while (at + n < size && text[at + n] >= '0' && text[at + n] <= '9') {
        n++;
    }
    return n;
}

static size_t sign_length(const char *text, size_t size, size_t at)
{
    return at < size && (text[at] == '+' || text[at] == '-') ? 1 : 0;
}

size_t kn_number_length(const char *text, size_t size)
{
    size_t at = sign_length(text, size, 0);
    const size_t whole = digits_length(text, size, at);
    at += whole;
    size_t part = 0;
    if (at < size && text[at] == '.') {
        part = digits_length(text, size, at + 1);
        at += whole + part > 0 ? 1 + part : 0;
    }
    if (whole + part == 0) {
        return 0;
    }
    if (at < size && (text[at] == 'e' || text[at] == 'E')) {
        const size_t sign = sign_length(text, size, at + 1);
        const size_t power = digits_length(text, size, at + 1 + sign);
        at += power > 0 ? 1 + sign + power : 0;
    }
    return at;
}

bool kn_number_parse(const char *text, size_t size, double *out)
{
    char copy[KN_NUMBER_BYTES_MAX + 1];
    if (size == 0 || size > KN_NUMBER_BYTES_MAX || kn_number_length(text, size) != size) {
        return false;
    }
    memcpy(copy, text, size);
    copy[size] = '\0';
    char *end = NULL;
    const double value = strtod(copy, &end);
    if (end != copy + size || isfinite(value) == 0) {
        return false;
    }
    *out = value;
    return true;
}

bool kn_integer_parse(const char *text, size_t size, int64_t low, int64_t high, int64_t *out)
{
    const size_t sign = sign_length(text, size, 0);
    if (size == sign || digits_length(text, size, sign) != size - sign || size - sign > 18) {
        return false; /* 18 digits never overflow */
    }
    int64_t value = 0;
    for (size_t i = sign; i < size; i++) {
        value = 10 * value + (text[i] - '0');
    }
    value = text[0] == '-' ? -value : value;
    if (value < low || value > high) {
        return false;
    }
    *out = value;
    return true;
}
