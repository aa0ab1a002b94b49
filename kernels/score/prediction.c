/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/score/prediction.h"

#include <string.h>

#define NOWHERE SIZE_MAX

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* A byte that belongs to a name or goes on a number. */
static bool word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '.';
}

/* Where the last marker ends, behind its '=', or NOWHERE. */
static size_t marker_last(const char *text, size_t size, const char *marker)
{
    const size_t length = strlen(marker);
    const bool closed = marker[length - 1] == '=';
    size_t found = NOWHERE;
    for (size_t at = 0; at + length <= size; at++) {
        const size_t end = at + length;
        if (memcmp(text + at, marker, length) != 0 || (at > 0 && word(text[at - 1]))) {
            continue;
        }
        if (closed) {
            found = end;
        } else if (end < size && text[end] == '=') {
            found = end + 1;
        }
    }
    return found;
}

static enum kn_err number_at(const char *text, size_t size, size_t at, double *out,
                             struct kn_diag *diag)
{
    while (at < size && (text[at] == ' ' || text[at] == '\t')) {
        at++;
    }
    const size_t length = kn_number_length(text + at, size - at);
    const size_t end = at + length;
    if (length == 0 || (end < size && word(text[end])) ||
        !kn_number_parse(text + at, length, out)) {
        return kn_fail(diag, KN_ERR_CORRUPT, "what is printed as the prediction is no number");
    }
    return KN_OK;
}

enum kn_err kn_prediction_find(const char *text, size_t size, const char *marker, double *out,
                               struct kn_diag *diag)
{
    KN_CHECK(marker[0] != '\0');
    KN_CHECK(strpbrk(marker, " \t\r\n") == NULL);
    const size_t at = marker_last(text, size, marker);
    if (at == NOWHERE) {
        return kn_fail(diag, KN_ERR_NOT_FOUND, "no \"%.64s\" was printed", marker);
    }
    return number_at(text, size, at, out, diag);
}

enum kn_err kn_prediction_conductor(const char *text, size_t size, double *out,
                                    struct kn_diag *diag)
{
    const size_t old = marker_last(text, size, "PredictedBuffer");
    const size_t later = marker_last(text, size, "PredictedValue");
    if (old == NOWHERE && later == NOWHERE) {
        return kn_fail(diag, KN_ERR_NOT_FOUND,
                       "neither \"PredictedBuffer=\" nor \"PredictedValue=\" was printed");
    }
    const bool use_old = later == NOWHERE || (old != NOWHERE && old > later);
    return number_at(text, size, use_old ? old : later, out, diag);
}

static bool between(char c)
{
    return blank(c) || c == ',' || c == ';';
}

/* Takes blanks and one pair of brackets off both ends. */
static enum kn_err trim(const char *text, size_t *begin, size_t *end, struct kn_diag *diag)
{
    for (int round = 0; round < 2; round++) {
        while (*begin < *end && blank(text[*begin])) {
            (*begin)++;
        }
        while (*end > *begin && blank(text[*end - 1])) {
            (*end)--;
        }
        if (round == 1 || *begin == *end || text[*begin] != '[') {
            continue;
        }
        if (*end - *begin < 2 || text[*end - 1] != ']') {
            return kn_fail(diag, KN_ERR_CORRUPT, "a bracket that is not closed");
        }
        (*begin)++;
        (*end)--;
    }
    return KN_OK;
}

enum kn_err kn_prediction_list(const char *text, size_t size, double *out, size_t room,
                               size_t *count, struct kn_diag *diag)
{
    size_t at = 0;
    size_t end = size;
    size_t n = 0;
    enum kn_err err = trim(text, &at, &end, diag);
    bool comma = true; /* a comma may not begin, end or follow a comma */
    while (err == KN_OK && at < end) {
        const size_t start = at;
        while (at < end && !between(text[at])) {
            at++;
        }
        double value = 0.0;
        if (!kn_number_parse(text + start, at - start, &value)) {
            return kn_fail(diag, KN_ERR_CORRUPT, "prediction %zu is no number", n + 1);
        }
        if (n == room) {
            return kn_fail(diag, KN_ERR_LIMIT, "more than %zu predictions", room);
        }
        out[n] = value;
        n++;
        comma = false;
        while (at < end && between(text[at]) && !(comma && !blank(text[at]))) {
            comma = comma || !blank(text[at]);
            at++;
        }
    }
    if (err == KN_OK && (n == 0 || comma)) {
        err = kn_fail(diag, KN_ERR_CORRUPT, "a number is expected%s",
                      n > 0 ? " after the last comma" : "");
    }
    if (err == KN_OK) {
        *count = n;
    }
    return err;
}
