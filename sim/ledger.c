/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/ledger.h"

#include "base/check.h"
#include "base/rng.h"

#include <stdlib.h>

enum { FIRST_SLOTS = 256 };

void sim_ledger_init(struct sim_ledger *ledger)
{
    *ledger = (struct sim_ledger){.mask = FIRST_SLOTS - 1};
    ledger->slots = calloc(FIRST_SLOTS, sizeof *ledger->slots);
    SH_CHECK(ledger->slots != NULL);
}

void sim_ledger_fini(struct sim_ledger *ledger)
{
    free(ledger->slots);
    ledger->slots = NULL;
}

static struct sim_slot *find(const struct sim_ledger *ledger, uint64_t key)
{
    uint64_t at = sh_mix64(key) & ledger->mask;
    while (ledger->slots[at].key != 0 && ledger->slots[at].key != key) {
        at = (at + 1) & ledger->mask;
    }
    return &ledger->slots[at];
}

static void grow(struct sim_ledger *ledger)
{
    struct sim_ledger old = *ledger;
    ledger->mask = old.mask * 2 + 1;
    ledger->slots = calloc(ledger->mask + 1, sizeof *ledger->slots);
    SH_CHECK(ledger->slots != NULL);
    for (uint64_t i = 0; i <= old.mask; i++) {
        if (old.slots[i].key != 0) {
            *find(ledger, old.slots[i].key) = old.slots[i];
        }
    }
    free(old.slots);
}

uint64_t *sim_ledger_at(struct sim_ledger *ledger, uint64_t key)
{
    SH_CHECK(key != 0);
    if (2 * ledger->count > ledger->mask) {
        grow(ledger);
    }
    struct sim_slot *slot = find(ledger, key);
    if (slot->key == 0) {
        slot->key = key;
        ledger->count++;
    }
    return &slot->value;
}
