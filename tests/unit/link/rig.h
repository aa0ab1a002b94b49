/* SPDX-License-Identifier: Apache-2.0
 *
 * Agents of a test: a trust and a link each, on loopback, all driven by this thread. What arrives
 * is counted and the last of each kind kept. */
#ifndef RIG_H
#define RIG_H

#include "link/link.h"

#include <stdbool.h>
#include <stdint.h>

#define RIG_MAX 8u

struct rig_plane {
    uint64_t messages;
    uint64_t bytes;
    uint64_t ups;
    uint64_t downs;
    uint64_t hints; /* downs that were not graceful */
    uint64_t unreachable;
    uint64_t wrong_secret;
    uint64_t refused;
    uint64_t writable;
    struct link_event last[LINK_WRITABLE + 1]; /* bytes is not valid there */
    uint8_t data[64];                          /* first bytes of the last message */
    uint64_t numbers_next; /* messages that begin with a u64: the next expected */
    uint64_t numbers_wrong;
    bool echo; /* answers every message to its sender */
    uint64_t echo_lost;
};

struct rig_agent {
    struct trust trust;
    struct link *link;
    struct rig_plane planes[LINK_PLANES];
};

struct rig {
    struct rig_agent agents[RIG_MAX];
    uint32_t count;
};

/* An agent whose secret is all secret, whose identity comes from id; version NULL: this program's.
 */
struct rig_agent *rig_add(struct rig *rig, uint8_t secret, uint8_t id, const char *version);
struct rig_agent *rig_add_on(struct rig *rig, uint8_t secret, uint8_t id, const char *version,
                             uint64_t epoch, uint64_t idle_us, const char *address);
void rig_close(struct rig *rig);
void rig_stop(struct rig_agent *agent); /* link and trust; the slot stays */
struct link_plane *rig_plane(struct rig_agent *agent, enum link_plane_id id);
struct link_addr rig_addr(struct rig_agent *agent, enum link_plane_id id);
/* Handles what is there for every agent; waits up to wait_ms for something when idle. */
void rig_turn(struct rig *rig, int wait_ms);
/* Turns until *counter >= wanted; fails the test after limit_ms. Gives the microseconds waited. */
uint64_t rig_await(struct rig *rig, const uint64_t *counter, uint64_t wanted, uint64_t limit_ms,
                   const char *what);
/* Turns for this long. */
void rig_run(struct rig *rig, uint64_t us);
enum sh_err rig_send(struct rig_agent *from, enum link_plane_id id, const struct rig_agent *to,
                     uint16_t type, const void *bytes, size_t size);
/* from dials to and both are up. */
void rig_join(struct rig *rig, struct rig_agent *from, struct rig_agent *to, enum link_plane_id id);

#define RIG_AWAIT(rig, counter, wanted, limit_ms)                                                  \
    rig_await((rig), &(counter), (wanted), (limit_ms), #counter " >= " #wanted)

#endif
