/* SPDX-License-Identifier: Apache-2.0 */
#include "roles/roles.h"
#include "base/check.h"

struct roles_limits roles_limits_default(void)
{
    return (struct roles_limits){
        .dead_us = 10000000, .stable_us = 1000000, .lag_max = 64, .voters_max = 5};
}

uint32_t roles_voters_target(uint32_t agents, uint32_t voters_max)
{
    SH_CHECK_CMP(voters_max % 2, ==, 1);
    uint32_t target = agents >= 7 ? 5 : agents >= 3 ? 3 : 1;
    return target < voters_max ? target : voters_max;
}

const char *roles_cause_text(uint32_t cause)
{
    static const char *const texts[ROLES_CAUSE_COUNT] = {
#define X(number, name, text) [number] = text,
        ROLES_CAUSE_MAP(X)
#undef X
    };
    return cause < ROLES_CAUSE_COUNT ? texts[cause] : "?";
}
