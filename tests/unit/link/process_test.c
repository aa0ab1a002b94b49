/* SPDX-License-Identifier: Apache-2.0
 *
 * Peers in processes of their own, so that they can be killed and stopped. */
#include "base/host/host.h"
#include "rig.h"
#include "tst.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHUNKS       256u /* of 256 KiB: 64 MiB */
#define PEERS_PARENT 10

struct child {
    pid_t pid;
    struct link_addr addrs[LINK_PLANES];
};

static struct rig rig;

/* The peer: echoes control messages; after CHUNKS bulk messages reports how many came out of order.
 */
static _Noreturn void live(int out, uint8_t id, uint64_t epoch, const char *address)
{
    struct rig own = {.count = 0};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct rig_agent *a = rig_add_on(&own, 1, id, NULL, epoch, 0, address);
    struct link_addr addrs[LINK_PLANES] = {rig_addr(a, LINK_CONTROL), rig_addr(a, LINK_BULK)};
    a->planes[LINK_CONTROL].echo = true;
    if (write(out, addrs, sizeof addrs) != (ssize_t)sizeof addrs) {
        _exit(1);
    }
    bool told = false;
    for (;;) {
        rig_turn(&own, 1000);
        const struct rig_plane *bulk = &a->planes[LINK_BULK];
        if (!told && bulk->messages == CHUNKS) {
            uint64_t wrong = bulk->numbers_wrong;
            told = link_send(rig_plane(a, LINK_BULK), sh_now_us(), bulk->last[LINK_MESSAGE].node,
                             FRAME_TRAIN_CHUNK,
                             (struct sh_span){.at = (const uint8_t *)&wrong, .size = sizeof wrong},
                             (struct sh_span){0}) == SH_OK;
        }
    }
}

static struct child spawn(uint8_t id, uint64_t epoch, const char *address)
{
    struct child child = {0};
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    child.pid = fork();
    EXPECT(child.pid >= 0);
    if (child.pid == 0) {
        (void)close(ends[0]);
        live(ends[1], id, epoch, address);
    }
    (void)close(ends[1]);
    EXPECT_EQ(read(ends[0], child.addrs, sizeof child.addrs), (ssize_t)sizeof child.addrs);
    (void)close(ends[0]);
    return child;
}

static void end(const struct child *child, int signal_number)
{
    EXPECT_EQ(kill(child->pid, signal_number), 0);
    if (signal_number == SIGKILL) {
        EXPECT_EQ(waitpid(child->pid, NULL, 0), child->pid);
    }
}

static void join(struct rig_agent *a, const struct child *child, enum link_plane_id id,
                 uint64_t ups)
{
    EXPECT_EQ(link_connect(rig_plane(a, id), sh_now_us(), &child->addrs[id]), SH_OK);
    RIG_AWAIT(&rig, a->planes[id].ups, ups, 8000);
}

static int ascending(const void *a, const void *b)
{
    uint64_t x;
    uint64_t y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

TEST(a_killed_peer_is_hinted_down_within_a_tenth_of_a_second)
{
    uint64_t waits[5];
    struct child children[SH_COUNT(waits)];
    for (unsigned i = 0; i < SH_COUNT(waits); i++) { /* forks before this process has threads */
        children[i] = spawn((uint8_t)(20 + i), 1, "127.0.0.1:0");
    }
    struct rig_agent *a = rig_add(&rig, 1, PEERS_PARENT, NULL);
    for (unsigned i = 0; i < SH_COUNT(waits); i++) {
        join(a, &children[i], LINK_CONTROL, i + 1);
        join(a, &children[i], LINK_BULK, i + 1);
        end(&children[i], SIGKILL);
        waits[i] = RIG_AWAIT(&rig, a->planes[LINK_CONTROL].hints, i + 1, 2000);
        RIG_AWAIT(&rig, a->planes[LINK_BULK].hints, i + 1, 2000);
    }
    qsort(waits, SH_COUNT(waits), sizeof waits[0], ascending);
    (void)printf("hint after kill -9: median %llu us, max %llu us\n", (unsigned long long)waits[2],
                 (unsigned long long)waits[4]);
    EXPECT(waits[2] < 100000);
    rig_close(&rig);
}

TEST(a_stopped_peer_is_hinted_down_by_heartbeats_and_comes_back)
{
    struct child child = spawn(20, 1, "127.0.0.1:0");
    struct rig_agent *a = rig_add(&rig, 1, PEERS_PARENT, NULL);
    join(a, &child, LINK_CONTROL, 1);
    end(&child, SIGSTOP);
    uint64_t waited = RIG_AWAIT(&rig, a->planes[LINK_CONTROL].hints, 1, 7000);
    EXPECT(waited > 2000000); /* a pause shorter than that is no failure */
    end(&child, SIGCONT);
    uint8_t node[SH_NODE_ID_BYTES];
    memcpy(node, a->planes[LINK_CONTROL].last[LINK_DOWN].node, sizeof node);
    EXPECT_EQ(link_set_addr(rig_plane(a, LINK_CONTROL), node, &child.addrs[LINK_CONTROL]), SH_OK);
    uint64_t limit = sh_now_us() + 5000000;
    while (a->planes[LINK_CONTROL].messages == 0 && sh_now_us() < limit) {
        enum sh_err err =
            link_send(rig_plane(a, LINK_CONTROL), sh_now_us(), node, FRAME_RAFT,
                      (struct sh_span){.at = (const uint8_t *)"x", .size = 1}, (struct sh_span){0});
        EXPECT(err == SH_OK || err == SH_ERR_UNREACHABLE || err == SH_ERR_FULL);
        rig_run(&rig, 20000);
    }
    EXPECT(a->planes[LINK_CONTROL].messages > 0);
    end(&child, SIGKILL);
    rig_close(&rig);
}

TEST(a_peer_killed_and_started_twenty_times_is_reached_again_each_time)
{
    enum { LIVES = 20 };
    /* A forked starter, made while this process has no threads, runs the lives one by one. */
    int orders[2];
    int answers[2];
    EXPECT_EQ(pipe(orders), 0);
    EXPECT_EQ(pipe(answers), 0);
    pid_t starter = fork();
    EXPECT(starter >= 0);
    if (starter == 0) {
        (void)close(orders[1]);
        char order;
        struct child now = {0};
        for (uint64_t epoch = 2; read(orders[0], &order, 1) == 1; epoch++) {
            if (now.pid != 0) {
                end(&now, SIGKILL);
            }
            now = spawn(20, epoch, "127.0.0.1:0");
            EXPECT_EQ(write(answers[1], &now, sizeof now), (ssize_t)sizeof now);
        }
        if (now.pid != 0) {
            end(&now, SIGKILL);
        }
        _exit(0);
    }
    (void)close(orders[0]);
    struct rig_agent *a = rig_add(&rig, 1, PEERS_PARENT, NULL);
    for (uint64_t life = 1; life <= LIVES; life++) {
        struct child now;
        EXPECT_EQ(write(orders[1], "x", 1), 1);
        EXPECT_EQ(read(answers[0], &now, sizeof now), (ssize_t)sizeof now);
        join(a, &now, LINK_CONTROL, life);
        EXPECT_EQ(a->planes[LINK_CONTROL].last[LINK_UP].peer.boot_epoch, life + 1);
        uint8_t node[SH_NODE_ID_BYTES];
        memcpy(node, a->planes[LINK_CONTROL].last[LINK_UP].node, sizeof node);
        EXPECT_EQ(link_send(rig_plane(a, LINK_CONTROL), sh_now_us(), node, FRAME_RAFT,
                            (struct sh_span){.at = (const uint8_t *)"x", .size = 1},
                            (struct sh_span){0}),
                  SH_OK);
        RIG_AWAIT(&rig, a->planes[LINK_CONTROL].messages, life, 3000);
    }
    (void)close(orders[1]);
    EXPECT_EQ(waitpid(starter, NULL, 0), starter);
    rig_close(&rig);
}

/* Queues chunks until the plane says FULL. */
static void push_chunks(struct rig_agent *a, const uint8_t node[static SH_NODE_ID_BYTES],
                        uint64_t *sent)
{
    static uint8_t body[SH_BULK_CHUNK_BYTES];
    enum sh_err err = SH_OK;
    while (*sent < CHUNKS && err == SH_OK) {
        uint8_t head[8];
        struct sh_writer w = sh_writer_over(head, sizeof head);
        sh_put_u64(&w, *sent);
        err = link_send(rig_plane(a, LINK_BULK), sh_now_us(), node, FRAME_TRAIN_CHUNK,
                        (struct sh_span){.at = head, .size = sizeof head},
                        (struct sh_span){.at = body, .size = sizeof body});
        *sent += err == SH_OK ? 1 : 0;
    }
    EXPECT(err == SH_OK || err == SH_ERR_FULL);
}

TEST(control_answers_quickly_while_64_mib_pass_on_bulk)
{
    struct child child = spawn(20, 1, "127.0.0.1:0");
    static uint64_t rounds[100000];
    size_t count = 0;
    uint64_t sent = 0;
    struct rig_agent *a = rig_add(&rig, 1, PEERS_PARENT, NULL);
    join(a, &child, LINK_CONTROL, 1);
    join(a, &child, LINK_BULK, 1);
    const uint8_t *node = a->planes[LINK_BULK].last[LINK_UP].node;
    struct rig_plane *control = &a->planes[LINK_CONTROL];
    uint64_t start = sh_now_us();
    while (a->planes[LINK_BULK].messages == 0 && sh_now_us() < start + 30000000 &&
           count < SH_COUNT(rounds)) {
        uint64_t asked = sh_now_us();
        uint64_t before = control->messages;
        EXPECT_EQ(link_send(rig_plane(a, LINK_CONTROL), asked, node, FRAME_CALL,
                            (struct sh_span){.at = (const uint8_t *)"ping", .size = 4},
                            (struct sh_span){0}),
                  SH_OK);
        while (control->messages == before && sh_now_us() < asked + 5000000) {
            push_chunks(a, node, &sent);
            rig_turn(&rig, 1);
        }
        EXPECT_EQ(control->messages, before + 1);
        rounds[count++] = sh_now_us() - asked;
    }
    uint64_t took = sh_now_us() - start;
    EXPECT_EQ(sent, CHUNKS);
    EXPECT_EQ(a->planes[LINK_BULK].messages, 1);
    struct sh_reader r = sh_reader_over(a->planes[LINK_BULK].data, 8);
    EXPECT_EQ(sh_get_u64(&r), 0); /* out of order at the other side */
    qsort(rounds, count, sizeof rounds[0], ascending);
    (void)printf("64 MiB in %llu ms; %zu pings: p50 %llu us, p99 %llu us\n",
                 (unsigned long long)(took / 1000), count, (unsigned long long)rounds[count / 2],
                 (unsigned long long)rounds[count * 99 / 100]);
    EXPECT(rounds[count * 99 / 100] < 250000 * (uint64_t)tst_slower());
    end(&child, SIGKILL);
    rig_close(&rig);
}
