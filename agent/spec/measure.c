/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/measure.h"

#include "base/check.h"

#include <stddef.h>
#include <string.h>

#define DIGITS_MAX 15u /* of one number: nothing below overflows */

struct unit {
    const char *name;
    uint64_t of;
};

static const char *number(const char *at, uint64_t *out)
{
    size_t digits = strspn(at, "0123456789");
    if (digits == 0 || digits > DIGITS_MAX) {
        return NULL;
    }
    *out = 0;
    for (size_t i = 0; i < digits; i++) {
        *out = *out * 10 + (uint64_t)(at[i] - '0');
    }
    return at + digits;
}

/* The largest unit that a later part may have is smaller than that of the part before: "2h30m". */
bool spec_seconds_read(const char *text, uint64_t *seconds)
{
    static const struct unit UNITS[] = {{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}};
    size_t next = 0;
    const char *at = text;
    *seconds = 0;
    do {
        uint64_t count = 0;
        at = number(at, &count);
        if (at == NULL) {
            return false;
        }
        if (*at == '\0' && next == 0) {
            *seconds = count;
            return true;
        }
        while (next < SH_COUNT(UNITS) && *at != UNITS[next].name[0]) {
            next++;
        }
        if (next == SH_COUNT(UNITS) || count > UINT64_MAX / 4 / UNITS[next].of) {
            return false;
        }
        *seconds += count * UNITS[next].of;
        next++;
        at++;
    } while (*at != '\0');
    return true;
}

bool spec_bytes_read(const char *text, uint64_t *bytes)
{
    static const struct unit UNITS[] = {{"", 1},
                                        {"B", 1},
                                        {"KiB", UINT64_C(1) << 10},
                                        {"MiB", UINT64_C(1) << 20},
                                        {"GiB", UINT64_C(1) << 30},
                                        {"TiB", UINT64_C(1) << 40},
                                        {"KB", 1000},
                                        {"MB", 1000000},
                                        {"GB", 1000000000},
                                        {"TB", UINT64_C(1000000000000)}};
    uint64_t count = 0;
    const char *at = number(text, &count);
    for (size_t i = 0; at != NULL && i < SH_COUNT(UNITS); i++) {
        if (strcmp(at, UNITS[i].name) == 0) {
            *bytes = count * UNITS[i].of;
            return count <= UINT64_MAX / UNITS[i].of;
        }
    }
    return false;
}
