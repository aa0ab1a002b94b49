/* SPDX-License-Identifier: Apache-2.0
 *
 * A growing map from non-zero numbers to numbers, for the checkers: what was once written stays. */
#ifndef SIM_LEDGER_H
#define SIM_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

struct sim_slot {
    uint64_t key; /* 0: free */
    uint64_t value;
};

struct sim_ledger {
    struct sim_slot *slots;
    uint64_t count;
    uint64_t mask;
};

void sim_ledger_init(struct sim_ledger *ledger);
void sim_ledger_fini(struct sim_ledger *ledger);
/* The place of the key's value, 0 when it is new; borrowed until the next call. Expected O(1). */
uint64_t *sim_ledger_at(struct sim_ledger *ledger, uint64_t key);

#endif
