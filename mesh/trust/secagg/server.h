/* SPDX-License-Identifier: Apache-2.0
 *
 * The aggregator's part in one secure sum (plan.h has the phases). It keeps keys, sealed shares and
 * what is revealed; the masked vectors it never sees: the host adds them up, modulo 2^bits, as they
 * arrive, and whoever owns a slice of the sum takes the masks off it.
 *
 *     secagg_server_keys      R0, of each member; secagg_server_open_shares ends it
 *     secagg_server_shares    R1; secagg_server_open_masked ends it
 *     secagg_server_masked    R2: this member's whole vector is in the host's sum;
 *                             secagg_server_open_consent ends it
 *     secagg_server_consent   R3
 *     secagg_server_reveal    R4; secagg_server_recover once it is ready
 *     secagg_server_unmask    slice by slice, on any thread
 *
 * When to end a phase is the host's to say: it has the clock. A call of another phase answers
 * CONFLICT. All memory is taken by open; nothing else allocates. */
#ifndef SECAGG_SERVER_H
#define SECAGG_SERVER_H

#include "secagg/mask.h"
#include "secagg/message.h"

struct secagg_server;

/* NO_MEMORY. LIMIT: members_max beyond SECAGG_MEMBERS_MAX. Owned by the caller until close, which
 * wipes what was revealed. Some members_max * min(members_max, 120) * 200 bytes. */
SH_MUST_USE enum sh_err secagg_server_open(const struct secagg_round *round, uint32_t members_max,
                                           struct secagg_server **out);
void secagg_server_close(struct secagg_server *s);

/* DENIED: not signed by the identity of that node. EXISTS: it gave other keys before; the same keys
 * again are OK. FULL. Whether the node is a member of the cluster is for the host to look up. */
SH_MUST_USE enum sh_err secagg_server_keys(struct secagg_server *s, const struct secagg_keys *keys);
/* Ends R0. LIMIT: too few members; keys may still come. */
SH_MUST_USE enum sh_err secagg_server_open_shares(struct secagg_server *s);
const struct secagg_roster *secagg_server_roster(const struct secagg_server *s); /* borrowed */
const struct secagg_plan *secagg_server_plan(const struct secagg_server *s);
/* Index of a node in the list, or SECAGG_MEMBERS_MAX. */
uint32_t secagg_server_index(const struct secagg_server *s,
                             const uint8_t node[static SH_NODE_ID_BYTES]);

/* `from` is who really sent a message, by the host's links; a message that says otherwise is
 * DENIED. CORRUPT: not for as many neighbours as it has. EXISTS: the second one, not looked at. */
SH_MUST_USE enum sh_err secagg_server_shares(struct secagg_server *s, uint32_t from,
                                             const struct secagg_shares *shares);
/* Ends R1. NO_QUORUM: fewer than survivors_min have sent shares; more may come. */
SH_MUST_USE enum sh_err secagg_server_open_masked(struct secagg_server *s);
/* For a member that has sent shares. */
void secagg_server_delivery(const struct secagg_server *s, uint32_t to,
                            struct secagg_delivery *out);

/* CONFLICT also for a member that sent no shares: its vector is of no use. EXISTS: the second time;
 * the host must not add it again. */
SH_MUST_USE enum sh_err secagg_server_masked(struct secagg_server *s, uint32_t from);
/* Ends R2. NO_QUORUM: fewer than survivors_min vectors; more may come. */
SH_MUST_USE enum sh_err secagg_server_open_consent(struct secagg_server *s);
const struct secagg_set *secagg_server_survivors(const struct secagg_server *s);

/* DENIED: false. EXISTS: the second one. CONFLICT also for who is not in the set. */
SH_MUST_USE enum sh_err secagg_server_consent(struct secagg_server *s, uint32_t from,
                                              const struct secagg_consent *consent);
const struct secagg_consents *secagg_server_consents(const struct secagg_server *s);

/* DENIED: a share is not the one that was dealt (its sender lies), or of the secret that is not
 * wanted; none of the message is kept. EXISTS as above. */
SH_MUST_USE enum sh_err secagg_server_reveal(struct secagg_server *s, uint32_t from,
                                             const struct secagg_reveal *reveal);
/* True once every secret that is needed has its threshold of shares. */
bool secagg_server_ready(const struct secagg_server *s);
/* The secrets that the shares give. NO_QUORUM: *bad is the index of one with too few shares so far.
 * DENIED: *bad dealt shares that fit no secret of its own; there is no sum without it, and the host
 * begins again without that member. */
SH_MUST_USE enum sh_err secagg_server_recover(struct secagg_server *s, uint32_t *bad);
/* Takes the masks off a slice of the sum. After recover; reads only. O(count * (survivors + dropped
 * * neighbours)). */
void secagg_server_unmask(const struct secagg_server *s, struct secagg_slice slice);
/* Masks that unmask takes off: what a slice costs, in ChaCha20 streams. */
uint32_t secagg_server_masks(const struct secagg_server *s);

#endif
