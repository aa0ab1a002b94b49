/* SPDX-License-Identifier: Apache-2.0 */
#include "place/place.h"

const char *place_reason_name(uint32_t reason)
{
    static const char *const names[WIRE_REASON_COUNT] = {
#define X(number, name, text) [number] = #name,
        WIRE_REASON_MAP(X)
#undef X
    };
    return reason < WIRE_REASON_COUNT ? names[reason] : "UNKNOWN";
}

const char *place_reason_text(uint32_t reason)
{
    static const char *const texts[WIRE_REASON_COUNT] = {
#define X(number, name, text) [number] = text,
        WIRE_REASON_MAP(X)
#undef X
    };
    return reason < WIRE_REASON_COUNT ? texts[reason] : "?";
}
