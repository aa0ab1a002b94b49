/* SPDX-License-Identifier: Apache-2.0 */
#include "loop.h"

#include "bulk.h"
#include "journal.h"
#include "outbox.h"
#include "parts.h"
#include "planner.h"
#include "vitals.h"

#include "base/host/host.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    TURN_EVENTS = 256,
    PUBLISH_US = 100000,
    LOAD_US = 1000000,
    WAYS_US = 1000000,
    LOAD_STEP = 50
};

enum post_kind { POST_CHANGE, POST_TRANSFER, POST_READ, POST_NODE, POST_JOIN };

struct post {
    enum post_kind kind;
    struct raft_conf_change *change; /* owned by the post */
    uint64_t handle;                 /* READ: number of the round */
    uint8_t node[SH_NODE_ID_BYTES];
    struct link_addr addr;
    uint16_t bulk_port;
};

struct command { /* to be proposed; owns its bytes */
    uint8_t *bytes;
    size_t size;
    bool eager; /* of another agent */
};

/* An address that this agent was told to join at, and whether it was turned away there. */
struct door {
    struct link_addr addr;
    bool refused;
};

struct loop {
    struct service *s;
    struct link_plane *control;
    struct replica *replica;
    struct gossip *gossip;
    struct outbox *outbox;
    struct queue *posts;
    struct queue *commands;
    bool gossip_input;        /* its socket is readable */
    uint64_t gather_until_us; /* 0: no commands wait for others to come */
    int epoll;
    int wake; /* eventfd of loop_leave */
    atomic_bool leave_asked;
    uint64_t leave_us; /* when leaving began; 0: not leaving */
    bool goodbye_said;
    bool changed; /* publish at the end of this turn */
    uint64_t published_us;
    uint8_t leader[SH_NODE_ID_BYTES]; /* last one that proposals were told of */
    uint64_t load_due_us;
    uint64_t ways_due_us;
    uint64_t keep_due_us;
    enum sh_err failure;
    enum sh_err ending; /* what will be the failure once another agent coordinates */
    uint64_t ending_us; /* since when */
    bool led_at_end;
    struct door doors[LOOP_DOORS_MAX];
    size_t door_count;
    struct link_event *event;
};

static void replica_changed(void *ctx)
{
    struct loop *l = ctx;
    l->changed = true;
}

static void read_answered(void *ctx, const struct raft_read *read)
{
    struct loop *l = ctx;
    reads_done(l->s->reads, read->ctx, read->index, read->err);
}

static enum sh_err watch(struct loop *l, int fd, uint32_t how)
{
    struct epoll_event e = {.events = EPOLLIN | how, .data.fd = fd};
    return epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &e) == 0 ? SH_OK : sh_err_from_errno(errno);
}

static enum sh_err watch_all(struct loop *l)
{
    int fds[] = {link_plane_fd(l->control),
                 gossip_fd(l->gossip),
                 outbox_fd(l->outbox),
                 queue_fd(l->posts),
                 queue_fd(disk_done_queue(l->s->disk)),
                 queue_fd(apply_event_queue(l->s->apply)),
                 queue_fd(snapshots_event_queue(l->s->snapshots)),
                 l->wake};
    enum sh_err err = SH_OK;
    for (size_t i = 0; i < SH_COUNT(fds) && err == SH_OK; i++) {
        err = watch(l, fds[i], 0);
    }
    /* By its edge: it may hold commands that gather. */
    return err == SH_OK ? watch(l, queue_fd(l->commands), EPOLLET) : err;
}

enum sh_err loop_open(struct loop **out, struct service *s, const struct gossip_options *gossip,
                      char *why)
{
    struct loop *l = calloc(1, sizeof *l);
    uint64_t now = sh_now_us();
    if (l == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    l->s = s;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    l->control = link_plane_of(s->link, LINK_CONTROL);
    l->event = malloc(sizeof *l->event);
    enum sh_err err = l->epoll < 0 || l->wake < 0 || l->event == NULL ? SH_ERR_NO_MEMORY : SH_OK;
    if (err == SH_OK) {
        err = outbox_open(&l->outbox, l->control, LOOP_OUTBOX_BYTES_MAX);
    }
    if (err == SH_OK) {
        err = queue_open(&l->posts, LOOP_POSTS_MAX, sizeof(struct post));
    }
    if (err == SH_OK) {
        err = queue_open(&l->commands, LOOP_POSTS_MAX, sizeof(struct command));
    }
    if (err == SH_OK) {
        err = gossip_open(&l->gossip, s, gossip, now, why);
    }
    struct replica_config config = {.control = l->control,
                                    .wal = s->wal,
                                    .disk = s->disk,
                                    .apply = s->apply,
                                    .snapshots = s->snapshots,
                                    .log_entries = s->options->log_entries,
                                    .boot = &s->boot,
                                    .applied = &s->applied,
                                    .on_change = replica_changed,
                                    .on_read = read_answered,
                                    .ctx = l};
    memcpy(config.me, s->trust.node, SH_NODE_ID_BYTES);
    if (err == SH_OK) {
        err = replica_open(&l->replica, &config, now);
    }
    if (err == SH_OK) {
        err = watch_all(l);
    }
    if (err != SH_OK) {
        loop_close(l);
        return err;
    }
    *out = l;
    return SH_OK;
}

void loop_close(struct loop *loop)
{
    if (loop == NULL) {
        return;
    }
    struct post p;
    struct command c;
    while (loop->posts != NULL && queue_pop(loop->posts, &p)) {
        free(p.change);
    }
    while (loop->commands != NULL && queue_pop(loop->commands, &c)) {
        free(c.bytes);
    }
    replica_close(loop->replica);
    gossip_close(loop->gossip);
    outbox_close(loop->outbox);
    queue_close(loop->posts);
    queue_close(loop->commands);
    if (loop->epoll >= 0) {
        (void)close(loop->epoll);
    }
    if (loop->wake >= 0) {
        (void)close(loop->wake);
    }
    free(loop->event);
    free(loop);
}

/* ---- proposals ---- */

static void propose(struct loop *l, uint64_t now_us, struct sh_span command, bool eager)
{
    enum sh_err err = replica_propose(l->replica, now_us, command, sh_wall_us(), eager);
    uint8_t leader[SH_NODE_ID_BYTES];
    /* Only its origin sends it on: else it could go in circles. */
    if (err != SH_ERR_NOT_LEADER || eager || !replica_leader(l->replica, leader)) {
        return;
    }
    err = link_send(l->control, now_us, leader, FRAME_PROPOSE, (struct sh_span){0}, command);
    if (err == SH_ERR_FULL) { /* by many: it waits for its turn, and not for its next send */
        err = outbox_post(l->outbox, leader, FRAME_PROPOSE, (struct sh_span){0}, command);
    }
    SH_MAY_FAIL(err); /* lost or refused: its origin sends it again */
}

static void take_proposal(struct loop *l, struct sh_span bytes)
{
    struct command c = {.bytes = malloc(bytes.size), .size = bytes.size, .eager = true};
    if (c.bytes == NULL || bytes.size == 0 || !replica_leads(l->replica)) {
        free(c.bytes);
        return; /* its origin sends it again */
    }
    memcpy(c.bytes, bytes.at, bytes.size);
    if (queue_push(l->commands, &c) != SH_OK) {
        free(c.bytes); /* likewise */
    }
}

/* Whether what waits is to wait for more to come. */
static bool gathers(struct loop *l, uint64_t now_us)
{
    uint32_t waiting = queue_count(l->commands);
    if (waiting == 0 || waiting >= LOOP_GATHER_COMMANDS || !replica_under_way(l->replica)) {
        l->gather_until_us = 0;
    } else if (l->gather_until_us == 0) {
        l->gather_until_us = now_us + LOOP_GATHER_US;
    } else if (l->gather_until_us <= now_us) {
        l->gather_until_us = 0;
    }
    return l->gather_until_us != 0;
}

static void take_commands(struct loop *l, uint64_t now_us)
{
    struct command c;
    if (gathers(l, now_us)) {
        return;
    }
    for (unsigned i = 0; i < TURN_EVENTS && queue_pop(l->commands, &c); i++) {
        propose(l, now_us, (struct sh_span){.at = c.bytes, .size = c.size}, c.eager);
        free(c.bytes);
    }
    replica_flush(l->replica, now_us);
}

/* ---- being turned away ---- */

/* A newcomer that nobody lets in ends, saying why; an agent that was admitted once goes on trying,
 * for its peers may be the ones that are wrong. */
static void end_newcomer(struct loop *l, uint64_t now_us, enum sh_err err)
{
    if (l->failure == SH_OK && replica_is_dormant(l->replica)) {
        gossip_leave(l->gossip, now_us);
        l->failure = err;
    }
}

static void take_refusal(struct loop *l, uint64_t now_us, const struct link_event *e)
{
    size_t refused = 0;
    /* A newcomer of another version may be dialled by those that heard its gossip: its own dialling
     * says the same, with the address that it was given. */
    bool echo = e->err == SH_ERR_VERSION && e->addr.port == 0 && l->door_count > 0 &&
                replica_is_dormant(l->replica);
    if (!echo) {
        journal_error("control plane: %s", e->text);
    }
    for (size_t i = 0; i < l->door_count; i++) {
        struct door *door = &l->doors[i];
        door->refused = door->refused || link_addr_equal(&door->addr, &e->addr);
        refused += door->refused ? 1 : 0;
    }
    if (refused > 0 && refused == l->door_count) {
        end_newcomer(l, now_us, e->kind == LINK_WRONG_SECRET ? SH_ERR_DENIED : e->err);
    }
}

/* The coordinator says why it does not admit us. */
static void take_not_admitted(struct loop *l, uint64_t now_us, struct sh_span bytes)
{
    struct sh_reader r = sh_reader_over(bytes.at, bytes.size);
    char text[LOOP_REASON_BYTES];
    uint32_t err = sh_get_u32(&r);
    sh_get_str(&r, text, sizeof text);
    if (!r.bad && err != SH_OK && err < SH_ERR_COUNT && replica_is_dormant(l->replica)) {
        journal_error("not admitted: %s", text);
        end_newcomer(l, now_us, (enum sh_err)err);
    }
}

/* ---- the control plane ---- */

static void lost(void *ctx, const uint8_t node[SH_NODE_ID_BYTES], uint16_t type)
{
    struct loop *l = ctx;
    if (type == FRAME_CALL) {
        calls_peer_down(l->s->calls, CALLS_CONTROL, node);
    }
}

static void take_message(struct loop *l, uint64_t now_us, const struct link_event *e)
{
    switch (e->type) {
    case FRAME_RAFT:
        replica_receive(l->replica, now_us, e->node, e->bytes);
        break;
    case FRAME_SWIM:
        gossip_control(l->gossip, now_us, e->node, e->bytes);
        break;
    case FRAME_CALL:
        calls_receive(l->s->calls, CALLS_CONTROL, e->node, CALLS_REQUEST, e->bytes);
        break;
    case FRAME_ANSWER:
        calls_receive(l->s->calls, CALLS_CONTROL, e->node, CALLS_REPLY, e->bytes);
        break;
    case FRAME_PROPOSE:
        take_proposal(l, e->bytes);
        break;
    case FRAME_NOT_ADMITTED:
        take_not_admitted(l, now_us, e->bytes);
        break;
    default:
        break; /* a type of a later program, which it must not rely on */
    }
}

static void peer_down(struct loop *l, uint64_t now_us, const uint8_t *node, enum swim_hint hint)
{
    replica_peer_down(l->replica, now_us, node);
    gossip_hint(l->gossip, now_us, node, hint);
    calls_peer_down(l->s->calls, CALLS_CONTROL, node);
    outbox_forget(l->outbox, node);
}

static void take_event(struct loop *l, uint64_t now_us, const struct link_event *e)
{
    switch (e->kind) {
    case LINK_MESSAGE:
        take_message(l, now_us, e);
        break;
    case LINK_UP:
        l->door_count = 0; /* one let us in */
        if (e->peer.gossip.port != 0) {
            gossip_seed(l->gossip, now_us, &e->peer.gossip);
        }
        break;
    case LINK_DOWN:
        peer_down(l, now_us, e->node, SWIM_HINT_LOST);
        break;
    case LINK_UNREACHABLE:
        if (e->node_known) {
            peer_down(l, now_us, e->node, SWIM_HINT_REFUSED);
        } else {
            journal_warn("control plane: %s", e->text);
        }
        break;
    case LINK_WRONG_SECRET:
    case LINK_REFUSED:
        take_refusal(l, now_us, e);
        break;
    case LINK_WRITABLE:
        outbox_writable(l->outbox, now_us, e->node, lost, l);
        break;
    }
}

/* ---- posts of other threads ---- */

static void take_node(struct loop *l, uint64_t now_us, const struct post *p)
{
    if (memcmp(p->node, l->s->trust.node, SH_NODE_ID_BYTES) == 0) {
        return;
    }
    replica_learn(l->replica, p->handle, p->node);
    struct service_member member;
    if (p->addr.port == 0 || members_get(l->s->members, p->node, &member)) {
        return; /* gossip knows better where it is now */
    }
    char text[SH_ADDR_MAX + 1];
    struct link_addr bulk = p->addr;
    bulk.port = p->bulk_port;
    link_addr_format(&bulk, text);
    if (link_set_addr(l->control, p->node, &p->addr) != SH_OK) {
        journal_warn("control plane: no place for agent %llu", (unsigned long long)p->handle);
    }
    bulk_set_addr(l->s->bulk, p->node, text);
    gossip_seed(l->gossip, now_us, &p->addr);
}

static void take_post(struct loop *l, uint64_t now_us, const struct post *p)
{
    switch (p->kind) {
    case POST_CHANGE:
        /* Refused: the planner looks again. */
        SH_MAY_FAIL(replica_change(l->replica, now_us, p->change));
        break;
    case POST_TRANSFER:
        replica_transfer(l->replica, now_us, p->handle);
        break;
    case POST_READ:
        replica_read(l->replica, now_us, p->handle);
        break;
    case POST_NODE:
        take_node(l, now_us, p);
        break;
    case POST_JOIN:
        if (l->door_count < LOOP_DOORS_MAX) {
            l->doors[l->door_count++] = (struct door){.addr = p->addr};
        }
        gossip_seed(l->gossip, now_us, &p->addr);
        if (link_connect(l->control, now_us, &p->addr) != SH_OK) {
            journal_warn("control plane: too many addresses to join");
        }
        break;
    }
    free(p->change);
}

static enum sh_err post(struct loop *l, const struct post *p)
{
    return queue_push(l->posts, p);
}

enum sh_err loop_post_proposal(struct loop *loop, uint8_t *bytes, size_t size)
{
    return queue_push(loop->commands, &(struct command){.bytes = bytes, .size = size});
}

void loop_post_change(struct loop *loop, const struct raft_conf_change *change)
{
    struct raft_conf_change *copy = malloc(sizeof *copy);
    if (copy == NULL) {
        return; /* the planner proposes it again */
    }
    *copy = *change;
    if (post(loop, &(struct post){.kind = POST_CHANGE, .change = copy}) != SH_OK) {
        free(copy);
    }
}

void loop_post_transfer(struct loop *loop, uint64_t to)
{
    /* FULL: the planner proposes it again. */
    SH_MAY_FAIL(post(loop, &(struct post){.kind = POST_TRANSFER, .handle = to}));
}

void loop_post_read(struct loop *loop, uint64_t number)
{
    SH_MAY_FAIL(post(loop, &(struct post){.kind = POST_READ, .handle = number}));
}

void loop_post_node(struct loop *loop, uint64_t handle, const uint8_t node[SH_NODE_ID_BYTES],
                    const char *addr, uint16_t bulk_port)
{
    struct post p = {.kind = POST_NODE, .handle = handle, .bulk_port = bulk_port};
    memcpy(p.node, node, SH_NODE_ID_BYTES);
    if (link_addr_parse(addr, 0, &p.addr) != SH_OK) {
        p.addr = (struct link_addr){0};
    }
    if (post(loop, &p) != SH_OK) {
        journal_warn("the loop is busy: agent %llu is learned from its messages",
                     (unsigned long long)handle);
    }
}

void loop_post_join(struct loop *loop, const struct link_addr *addr)
{
    if (post(loop, &(struct post){.kind = POST_JOIN, .addr = *addr}) != SH_OK) {
        journal_warn("the loop is busy: one address to join was left out");
    }
}

enum sh_err loop_send(struct loop *loop, const uint8_t node[SH_NODE_ID_BYTES], uint16_t type,
                      struct sh_span bytes)
{
    return outbox_post(loop->outbox, node, type, (struct sh_span){0}, bytes);
}

void loop_replica_status(struct loop *loop, struct replica_status *out)
{
    replica_status(loop->replica, out);
}

/* ---- leaving ---- */

void loop_leave(struct loop *loop)
{
    uint64_t one = 1;
    atomic_store(&loop->leave_asked, true);
    ssize_t n = write(loop->wake, &one, sizeof one);
    (void)n; /* full: it is awake anyway */
}

bool loop_is_leaving(struct loop *loop)
{
    return atomic_load(&loop->leave_asked);
}

/* Leadership first (the planner hands it over), then the goodbye. True: done. */
static bool leave_step(struct loop *l, uint64_t now_us)
{
    if (l->leave_us == 0) {
        l->leave_us = now_us;
        journal_info("leaving");
        planner_wake(l->s->planner);
    }
    uint8_t others[1][SH_NODE_ID_BYTES];
    bool alone = members_alive(l->s->members, others, 1) == 0;
    bool late = now_us - l->leave_us > LOOP_LEAVE_US / 2;
    if (!l->goodbye_said && (alone || late || !replica_leads(l->replica))) {
        gossip_leave(l->gossip, now_us);
        l->goodbye_said = true;
    }
    return l->goodbye_said &&
           (alone || gossip_has_left(l->gossip) || now_us - l->leave_us > LOOP_LEAVE_US);
}

/* ---- a disk that fails ---- */

/* Nothing is promised any more, for nothing more becomes durable; but who leads can still tell a
 * follower to lead, and goes when it does. */
static void end_with(struct loop *l, uint64_t now_us, enum sh_err err)
{
    if (l->ending == SH_OK) {
        l->ending = err;
        l->ending_us = now_us;
    }
}

static void end_step(struct loop *l, uint64_t now_us)
{
    if (l->ending == SH_OK) {
        return;
    }
    bool led = replica_leads(l->replica);
    l->led_at_end = l->led_at_end || led;
    if (led) {
        replica_transfer(l->replica, now_us, 0);
    }
    if (!led || now_us - l->ending_us > LOOP_RESIGN_US) {
        l->failure = l->ending;
    }
    if (!led && l->led_at_end) {
        journal_info("handed over what this agent coordinated");
    }
}

/* ---- a turn ---- */

static void end_with_store(struct loop *l, uint64_t now_us, const char *what, enum sh_err err)
{
    char text[KV_TEXT_BYTES];
    kv_error_text(l->s->state, text);
    journal_error("%s, stopping: %s: %s", what, sh_err_text(err), text);
    end_with(l, now_us, err);
}

static void take_disk(struct loop *l, uint64_t now_us)
{
    struct disk_done done;
    while (l->failure == SH_OK && queue_pop(disk_done_queue(l->s->disk), &done)) {
        if (done.err != SH_OK) {
            end_with_store(l, now_us, "writing the log failed", done.err);
        } else {
            replica_disk_done(l->replica, now_us, &done);
        }
    }
}

static void take_applied(struct loop *l, uint64_t now_us)
{
    struct apply_event event;
    while (l->failure == SH_OK && queue_pop(apply_event_queue(l->s->apply), &event)) {
        if (event.kind == APPLY_FAILED) {
            end_with(l, now_us, event.err);
        } else {
            replica_apply_event(l->replica, now_us, &event);
        }
    }
}

static void take_snapshots(struct loop *l, uint64_t now_us)
{
    struct snapshots_event event;
    while (l->failure == SH_OK && queue_pop(snapshots_event_queue(l->s->snapshots), &event)) {
        if (event.kind == SNAPSHOTS_FAILED) {
            end_with_store(l, now_us, "writing a snapshot failed", event.err);
        } else {
            replica_snapshot_event(l->replica, now_us, &event);
        }
    }
}

/* What the last coordinator was asked, and did not answer, is asked a new one. */
static void tell_waiting(struct loop *l)
{
    uint8_t leader[SH_NODE_ID_BYTES];
    if (replica_leader(l->replica, leader) && memcmp(leader, l->leader, SH_NODE_ID_BYTES) != 0) {
        memcpy(l->leader, leader, SH_NODE_ID_BYTES);
        proposals_kick(l->s->proposals);
        reads_kick(l->s->reads);
    }
}

static void publish(struct loop *l, uint64_t now_us)
{
    bool due = now_us - l->published_us > PUBLISH_US;
    if (!l->changed && !due) {
        return;
    }
    bool changed = l->changed;
    l->changed = false;
    l->published_us = now_us;
    replica_publish(l->replica);
    if (changed) {
        uint8_t voters[SH_VOTERS_MAX][SH_NODE_ID_BYTES];
        size_t count = replica_voters(l->replica, voters, SH_VOTERS_MAX);
        members_set_voters(l->s->members, voters, count);
        tell_waiting(l);
        planner_wake(l->s->planner);
    }
}

/* Says that the holder of this agent's session is there, though it proposes nothing. */
static void keep_session(struct loop *l, uint64_t now_us)
{
    if (now_us < l->keep_due_us) {
        return;
    }
    l->keep_due_us = now_us + LOOP_KEEP_US;
    uint8_t bytes[64];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    struct jobs_cmd cmd = {.type = JOBS_SESSION_KEEP, .session = atomic_load(&l->s->session)};
    if (cmd.session != 0 && jobs_cmd_encode(&cmd, &w) == SH_OK) {
        propose(l, now_us, (struct sh_span){.at = bytes, .size = w.used}, false);
    }
}

/* Tells the others how this machine is, when its load has changed by a twentieth, its free disk by
 * a sixteenth, how slow it is to half or double, or its owner's policy. */
static void measure_self(struct loop *l, uint64_t now_us)
{
    if (now_us < l->load_due_us) {
        return;
    }
    l->load_due_us = now_us + LOAD_US;
    struct wire_node *self = &l->s->self;
    struct vitals_state v;
    vitals_read(l->s->vitals, &v);
    uint32_t sync_us = disk_fsync_p99_us(l->s->disk);
    uint64_t step = self->disk_bytes / 16;
    bool busier = v.load_milli > self->load + LOAD_STEP || self->load > v.load_milli + LOAD_STEP;
    bool slower = sync_us / 2 > self->fsync_p99_us || self->fsync_p99_us / 2 > sync_us ||
                  (self->fsync_p99_us == 0 && sync_us != 0);
    bool fuller = v.disk_bytes + step < self->disk_bytes || v.disk_bytes > self->disk_bytes + step;
    if (busier || slower || fuller || v.policy != self->policy) {
        self->load = v.load_milli;
        self->fsync_p99_us = sync_us;
        self->disk_bytes = v.disk_bytes;
        self->policy = v.policy;
        gossip_tell_self(l->gossip, now_us);
    }
}

static int by_size(const void *a, const void *b)
{
    const uint32_t *x = a;
    const uint32_t *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* How far the coordinator is; from the coordinator, how far a majority of the voters. What is
 * typical: an answer that came late, or from an agent that stood still, must not make everybody
 * wait longer for the next coordinator. */
static uint32_t round_trip(struct loop *l)
{
    uint8_t voters[SH_VOTERS_MAX][SH_NODE_ID_BYTES];
    uint32_t ways[SH_VOTERS_MAX];
    size_t others = 0;
    struct service_member member;
    size_t count =
        replica_leads(l->replica) ? replica_voters(l->replica, voters, SH_VOTERS_MAX) : 0;
    for (size_t i = 0; i < count; i++) {
        bool self = memcmp(voters[i], l->s->trust.node, SH_NODE_ID_BYTES) == 0;
        if (!self && members_get(l->s->members, voters[i], &member)) {
            ways[others++] = member.rtt_us;
        }
    }
    if (count >= 2 && others >= count / 2) {
        qsort(ways, others, sizeof ways[0], by_size);
        return ways[count / 2 - 1];
    }
    bool led = count == 0 && replica_leader(l->replica, voters[0]) &&
               members_get(l->s->members, voters[0], &member);
    return led ? member.rtt_us : 0;
}

static void measure_ways(struct loop *l, uint64_t now_us)
{
    if (now_us >= l->ways_due_us) {
        l->ways_due_us = now_us + WAYS_US;
        gossip_tell_rtt(l->gossip);
        replica_round_trip(l->replica, now_us, round_trip(l));
    }
}

static void turn(struct loop *l, uint64_t now_us)
{
    struct post p;
    for (unsigned i = 0; i < TURN_EVENTS && link_next(l->control, now_us, l->event); i++) {
        take_event(l, now_us, l->event);
    }
    gossip_turn(l->gossip, now_us, l->gossip_input);
    l->gossip_input = false;
    take_disk(l, now_us);
    take_applied(l, now_us);
    take_snapshots(l, now_us);
    for (unsigned i = 0; i < TURN_EVENTS && queue_pop(l->posts, &p); i++) {
        take_post(l, now_us, &p);
    }
    keep_session(l, now_us);
    take_commands(l, now_us);
    replica_tick(l->replica, now_us);
    end_step(l, now_us);
    if (l->failure == SH_OK) {
        l->failure = replica_failure(l->replica);
    }
    outbox_drain(l->outbox, now_us, lost, l);
    publish(l, now_us);
    measure_self(l, now_us);
    measure_ways(l, now_us);
}

static uint64_t next_deadline(const struct loop *l)
{
    uint64_t a = replica_deadline_us(l->replica);
    uint64_t b = gossip_deadline_us(l->gossip);
    uint64_t c = link_deadline_us(l->control);
    uint64_t least = a < b ? a : b;
    least = least < c ? least : c;
    bool gathers = l->gather_until_us != 0 && l->gather_until_us < least;
    return gathers ? l->gather_until_us : least;
}

static void sleep_until_due(struct loop *l, bool leaving)
{
    struct epoll_event events[8];
    uint64_t now = sh_now_us();
    uint64_t due = next_deadline(l);
    uint64_t wait_us = due <= now ? 0 : due - now;
    uint64_t most = leaving || l->ending != SH_OK ? 20000 : 1000000;
    wait_us = wait_us < most ? wait_us : most;
    bool commands = l->gather_until_us == 0 && queue_count(l->commands) > 0;
    if (link_pending(l->control) || queue_count(l->posts) > 0 || commands) {
        wait_us = 0;
    }
    struct timespec t = {.tv_sec = (time_t)(wait_us / 1000000),
                         .tv_nsec = (long)(wait_us % 1000000) * 1000};
    int n = epoll_pwait2(l->epoll, events, (int)SH_COUNT(events), &t, NULL);
    SH_CHECK(n >= 0 || errno == EINTR);
    for (int i = 0; i < n; i++) {
        uint64_t counter;
        l->gossip_input = l->gossip_input || events[i].data.fd == gossip_fd(l->gossip);
        if (events[i].data.fd == l->wake) {
            SH_CHECK(read(l->wake, &counter, sizeof counter) == (ssize_t)sizeof counter);
        }
    }
}

enum sh_err loop_run(struct loop *loop)
{
    gossip_tell_self(loop->gossip, sh_now_us());
    replica_begin(loop->replica, sh_now_us());
    while (loop->failure == SH_OK) {
        uint64_t now_us = sh_now_us();
        turn(loop, now_us);
        bool leaving = atomic_load(&loop->leave_asked);
        if (leaving && leave_step(loop, now_us)) {
            break;
        }
        sleep_until_due(loop, leaving);
    }
    outbox_stop(loop->outbox);
    return loop->failure;
}
