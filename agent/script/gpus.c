/* SPDX-License-Identifier: Apache-2.0 */
#include "script/gpus.h"

#include <stdio.h>
#include <string.h>

static bool has(const struct script_gpu_set *set, uint32_t i)
{
    return (set->bits[i / 64] >> i % 64 & 1) != 0;
}

bool script_gpus_take(struct script_gpus *gpus, uint32_t count, struct script_gpu_set *out)
{
    *out = (struct script_gpu_set){0};
    SH_CHECK_CMP(gpus->count, <=, WIRE_GPUS_MAX);
    for (uint32_t i = 0; i < gpus->count && count > 0; i++) {
        if (!has(&gpus->taken, i)) {
            out->bits[i / 64] |= UINT64_C(1) << i % 64;
            count--;
        }
    }
    if (count > 0) {
        *out = (struct script_gpu_set){0};
        return false;
    }
    for (size_t i = 0; i < SH_COUNT(out->bits); i++) {
        gpus->taken.bits[i] |= out->bits[i];
    }
    return true;
}

void script_gpus_give(struct script_gpus *gpus, struct script_gpu_set *set)
{
    for (size_t i = 0; i < SH_COUNT(set->bits); i++) {
        SH_CHECK_CMP(gpus->taken.bits[i] & set->bits[i], ==, set->bits[i]);
        gpus->taken.bits[i] &= ~set->bits[i];
        set->bits[i] = 0;
    }
}

bool script_gpus_any(const struct script_gpu_set *set)
{
    uint64_t all = 0;
    for (size_t i = 0; i < SH_COUNT(set->bits); i++) {
        all |= set->bits[i];
    }
    return all != 0;
}

/* Appends, after a comma where it is not the first; what does not fit is left out. */
static void append(char *out, size_t size, size_t *used, const char *name, size_t length)
{
    size_t comma = *used > 0 ? 1 : 0;
    if (*used + comma + length < size) {
        (void)snprintf(out + *used, size - *used, "%s%.*s", comma != 0 ? "," : "", (int)length,
                       name);
        *used += comma + length;
    }
}

void script_gpus_text(const struct script_gpu_set *set, char *out, size_t size)
{
    script_gpus_visible(set, NULL, out, size);
}

void script_gpus_visible(const struct script_gpu_set *set, const char *visible, char *out,
                         size_t size)
{
    size_t used = 0;
    SH_CHECK_CMP(size, >, 0);
    out[0] = '\0';
    for (uint32_t i = 0; i < WIRE_GPUS_MAX; i++) {
        char number[12];
        const char *name = number;
        size_t length = (size_t)snprintf(number, sizeof number, "%u", i);
        if (visible != NULL) {
            name = visible;
            length = strcspn(visible, ",");
            visible += length + (visible[length] == ',' ? 1 : 0);
            length = length < SCRIPT_GPU_NAME_MAX ? length : SCRIPT_GPU_NAME_MAX;
        }
        if (has(set, i)) {
            append(out, size, &used, name, length);
        }
    }
}
