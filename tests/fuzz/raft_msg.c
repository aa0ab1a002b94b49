/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a raft message: what is accepted encodes to a message that is accepted again and is
 * equal, and its configuration and changes pass their checks. */
#include "raft/message.h"

#include <stdint.h>
#include <stdlib.h>

#define ENTRIES_MAX 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const struct raft_msg *a, const struct raft_msg *b)
{
    SH_CHECK(a->type == b->type);
    SH_CHECK_CMP(a->term, ==, b->term);
    SH_CHECK_CMP(a->index, ==, b->index);
    SH_CHECK_CMP(a->commit, ==, b->commit);
    SH_CHECK_CMP(a->hint, ==, b->hint);
    SH_CHECK_CMP(a->ctx, ==, b->ctx);
    SH_CHECK(a->reject == b->reject);
    SH_CHECK_CMP(a->entry_count, ==, b->entry_count);
    for (uint32_t i = 0; i < a->entry_count; i++) {
        SH_CHECK_CMP(a->entries[i].term, ==, b->entries[i].term);
        SH_CHECK_CMP(a->entries[i].index, ==, b->entries[i].index);
        SH_CHECK_CMP(a->entries[i].size, ==, b->entries[i].size);
        SH_CHECK(a->entries[i].size == 0 ||
                 memcmp(a->entries[i].data, b->entries[i].data, a->entries[i].size) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct raft_entry entries[ENTRIES_MAX];
    static struct raft_entry again[ENTRIES_MAX];
    struct raft_msg msg;
    if (raft_msg_decode(data, size, entries, ENTRIES_MAX, &msg) != SH_OK) {
        return 0;
    }
    SH_CHECK_CMP(msg.entry_count, <=, ENTRIES_MAX);
    if (msg.type == RAFT_MSG_SNAP) {
        raft_conf_check(&msg.snapshot.conf);
    }
    size_t bound = raft_msg_bound(&msg);
    uint8_t *bytes = malloc(bound);
    SH_CHECK(bytes != NULL);
    size_t used = raft_msg_encode(&msg, bytes, bound);
    SH_CHECK_CMP(used, >, 0);
    struct raft_msg back;
    enum sh_err err = raft_msg_decode(bytes, used, again, ENTRIES_MAX, &back);
    SH_CHECK(err == SH_OK);
    check_same(&msg, &back);
    free(bytes);
    return 0;
}
