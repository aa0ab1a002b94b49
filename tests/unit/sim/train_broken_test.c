/* SPDX-License-Identifier: Apache-2.0
 *
 * Linked with a core that has one defect: some storm of the first seeds finds it, and says what is
 * broken. */
#include "tst.h"

#include "sim/scenario.h"
#include "sim/train.h"

#include <stdio.h>
#include <string.h>

enum { SEEDS_MAX = 60 };

/* BREAKS is what it may say, one or several with '|' between them. */
static bool says(const char *why)
{
    const char *at = BREAKS;
    while (true) {
        char words[64];
        size_t size = strcspn(at, "|");
        EXPECT(size < sizeof words);
        memcpy(words, at, size);
        words[size] = '\0';
        if (strstr(why, words) != NULL) {
            return true;
        }
        if (at[size] == '\0') {
            return false;
        }
        at += size + 1;
    }
}

TEST(the_defect_of_a_broken_core_is_found)
{
    struct sim_verdict v = {.held = true};
    for (uint64_t seed = 1; seed <= SEEDS_MAX && v.held; seed++) {
        RUN(seed, MEMBERS, &v);
        (void)printf("seed %llu: %s\n", (unsigned long long)seed, v.held ? "held" : v.why);
    }
    EXPECT(!v.held);
    EXPECT(says(v.why));
}
