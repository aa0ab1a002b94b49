/* SPDX-License-Identifier: Apache-2.0 */
#include "offers.h"

static size_t place_of(const struct offers *o, uint64_t handle)
{
    size_t at = 0;
    while (at < o->count && o->at[at].handle != handle) {
        at++;
    }
    return at;
}

void offers_note(struct offers *o, uint64_t handle, uint64_t until_us)
{
    size_t at = place_of(o, handle);
    SH_CHECK_CMP(at, <, OFFERS_MAX);
    o->at[at] = (struct offer){.handle = handle, .until_us = until_us};
    o->count += at == o->count ? 1 : 0;
}

bool offers_end(struct offers *o, uint64_t handle)
{
    size_t at = place_of(o, handle);
    bool found = at < o->count;
    if (found) {
        o->at[at] = o->at[--o->count];
    }
    return found;
}

bool offers_late(const struct offers *o, uint64_t now_us, uint64_t *handle)
{
    for (size_t i = 0; i < o->count; i++) {
        if (o->at[i].until_us <= now_us) {
            *handle = o->at[i].handle;
            return true;
        }
    }
    return false;
}

uint64_t offers_deadline_us(const struct offers *o)
{
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < o->count; i++) {
        least = o->at[i].until_us < least ? o->at[i].until_us : least;
    }
    return least;
}
