/* SPDX-License-Identifier: Apache-2.0
 *
 * Membership takes effect when its entry is applied, not when it is appended. */
#include "raft/core.h"

void raft_switch_conf(struct raft *r, const struct raft_conf *conf, uint64_t index)
{
    r->conf = *conf;
    r->conf_index = index;
    r->conf_changed = true;
    raft_peers_follow(&r->peers, conf, r->log.last);
    raft_tell(r, (struct raft_trace){.type = RAFT_TRACE_CONF, .conf = &r->conf});
    struct raft_peer *self = raft_peer_of(&r->peers, r->config.id);
    if (r->role != RAFT_LEADER) {
        return;
    }
    if (self == NULL || self->learner) {
        if (r->config.step_down_on_removal) {
            raft_become_follower(r, r->term, 0);
        }
        return;
    }
    (void)raft_peer_matched(self, r->log.durable);
    self->active = true;
    if (r->transferee != 0 && !raft_conf_voter(conf, r->transferee)) {
        r->transferee = 0;
    }
    /* With another quorum more may be committed; and those who are new want to be probed. */
    if (raft_maybe_commit(r)) {
        raft_broadcast_append(r);
        return;
    }
    for (uint32_t i = 0; i < r->peers.count; i++) {
        (void)raft_send_append(r, &r->peers.list[i], false);
    }
}

void raft_conf_applied(struct raft *r, uint64_t index, const uint8_t *data, uint32_t size)
{
    SH_CHECK_CMP(index, <=, r->commit);
    if (index <= r->conf_index) {
        return; /* a snapshot brought it already */
    }
    struct raft_conf_change change;
    struct sh_reader reader = sh_reader_over(data, size);
    enum sh_err err = raft_conf_change_decode(&reader, &change);
    SH_CHECK(err == SH_OK); /* nothing else is let into a log */
    struct raft_conf next = r->conf;
    /* Where it is not possible, every member finds so and nothing changes anywhere. */
    r->reason = raft_conf_apply(&r->conf, &change, &next);
    raft_switch_conf(r, &next, index);
}

void raft_applied_to(struct raft *r, uint64_t index)
{
    SH_CHECK_CMP(index, <=, r->commit);
    if (index <= r->applied) {
        return;
    }
    r->applied = index;
    if (r->role == RAFT_LEADER) {
        raft_auto_leave(r);
    }
}
