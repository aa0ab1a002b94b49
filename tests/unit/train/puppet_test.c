/* SPDX-License-Identifier: Apache-2.0
 *
 * One agent that trains, and a member beside it whose words the test says: what the agent does with
 * a word that comes at a certain moment. */
#include "herd.h"
#include "tst.h"

#include "train/exchange.h"
#include "train/message.h"
#include "wire/frame.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Member 1; the agent is member 0 and owns all of a short vector. Elements of it: learned from what
 * the agent asks for. */
struct puppet {
    struct herd *h;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t early;    /* generation in which its sum comes before its HELLO; 0: none yet */
    uint64_t elements; /* 0: not known */
    uint16_t subtree;
    uint64_t answered; /* generation whose result has come */
    uint64_t stands;   /* newest generation in which the agent has a state, */
    uint64_t position; /* and where it stood when it said so first */
};

static void say_hello(struct puppet *p, const uint8_t *to, const struct train_hello *theirs)
{
    uint8_t bytes[TRAIN_MESSAGE_BYTES];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    struct train_hello mine = {.about = theirs->about, .mine = 77, .yours = theirs->mine};
    if ((theirs->flags & TRAIN_HELLO_HAS) != 0) { /* it stands where the agent does */
        mine.flags = TRAIN_HELLO_HAS;
        mine.position = theirs->position;
        memcpy(mine.digest, theirs->digest, sizeof mine.digest);
    }
    train_hello_encode(&mine, &w);
    EXPECT_EQ(bulk_send(p->h->agents[1].bulk, to, FRAME_TRAIN_HELLO,
                        (struct sh_span){.at = bytes, .size = w.used}, (struct sh_span){0}),
              SH_OK);
}

/* The sum of its ranks in the first round of a generation: zeros. */
static void send_sum(struct puppet *p, const uint8_t *to, const struct train_about *about)
{
    uint8_t head[TRAIN_UNIT_HEAD + ROUND_FRAME_BYTES];
    struct sh_writer w = sh_writer_over(head, TRAIN_UNIT_HEAD);
    size_t size = p->elements * ROUND_ELEMENT_BYTES;
    uint8_t *zeros = calloc(1, size);
    EXPECT(zeros != NULL);
    struct round_frame frame = {.kind = ROUND_FRAME_PART,
                                .from = 1,
                                .subtree = p->subtree,
                                .count = (uint32_t)p->elements,
                                .generation = about->generation,
                                .elements = p->elements,
                                .sum = round_frame_sum(zeros, size)};
    sh_put_u64(&w, about->unit.job);
    sh_put_u32(&w, about->unit.unit);
    sh_put_u32(&w, 0);
    round_frame_encode(&frame, head + TRAIN_UNIT_HEAD);
    EXPECT_EQ(bulk_send(p->h->agents[1].bulk, to, FRAME_TRAIN_CHUNK,
                        (struct sh_span){.at = head, .size = sizeof head},
                        (struct sh_span){.at = zeros, .size = size}),
              SH_OK);
    free(zeros);
}

static void hear_chunk(struct puppet *p, struct sh_span bytes)
{
    struct wire_unit unit;
    struct round_frame frame;
    struct sh_span payload;
    EXPECT_EQ(train_exchange_decode(bytes, &unit, &frame, &payload), SH_OK);
    if (frame.kind == ROUND_FRAME_ASK_PART) { /* which is never given */
        p->elements = frame.elements;
        p->subtree = frame.subtree;
    } else if (frame.kind == ROUND_FRAME_RESULT) {
        p->answered = frame.generation;
    }
    EXPECT(pthread_cond_broadcast(&p->changed) == 0);
}

static void hear(void *ctx, const uint8_t node[SH_NODE_ID_BYTES], uint16_t type,
                 struct sh_span payload, int fd)
{
    struct puppet *p = ctx;
    struct train_hello hello;
    (void)fd;
    EXPECT(pthread_mutex_lock(&p->lock) == 0);
    if (type == FRAME_TRAIN_CHUNK) {
        hear_chunk(p, payload);
    } else if (type == FRAME_TRAIN_HELLO && train_hello_decode(payload, &hello) == SH_OK &&
               (hello.flags & TRAIN_HELLO_ASKS) != 0) {
        if (hello.about.generation == p->early) {
            send_sum(p, node, &hello.about);
            p->early = 0; /* once */
        }
        say_hello(p, node, &hello);
        if ((hello.flags & TRAIN_HELLO_HAS) != 0 && hello.about.generation > p->stands) {
            p->stands = hello.about.generation;
            p->position = hello.position;
            EXPECT(pthread_cond_broadcast(&p->changed) == 0);
        }
    }
    EXPECT(pthread_mutex_unlock(&p->lock) == 0);
}

static void down(void *ctx, const uint8_t node[SH_NODE_ID_BYTES])
{
    (void)ctx;
    (void)node;
}

static void await(struct puppet *p, const uint64_t *value, uint64_t least)
{
    struct timespec until;
    EXPECT(clock_gettime(CLOCK_REALTIME, &until) == 0);
    until.tv_sec += (time_t)(HERD_WAIT_US / 1000000);
    EXPECT(pthread_mutex_lock(&p->lock) == 0);
    while (*value < least) {
        EXPECT(pthread_cond_timedwait(&p->changed, &p->lock, &until) == 0);
    }
    EXPECT(pthread_mutex_unlock(&p->lock) == 0);
}

static void open_puppet(struct puppet *p, struct herd *h)
{
    *p = (struct puppet){.h = h};
    EXPECT(pthread_mutex_init(&p->lock, NULL) == 0);
    EXPECT(pthread_cond_init(&p->changed, NULL) == 0);
    herd_open(h, 2, NULL);
    herd_stop(h, 1);
    bulk_on_train(h->agents[1].bulk, hear, down, p);
    memory_bulk_start(h->agents[1].bulk);
}

static void close_puppet(struct puppet *p)
{
    herd_close(p->h);
    EXPECT(pthread_cond_destroy(&p->changed) == 0);
    EXPECT(pthread_mutex_destroy(&p->lock) == 0);
}

/* The other member's sum comes before the word by which this one knows that the rounds begin, and
 * never again. */
TEST(a_sum_that_comes_before_the_generation_begins_is_in_its_first_round)
{
    static const uint32_t BOTH[] = {0, 1};
    static struct herd h;
    struct puppet p;
    struct herd_job job = {.layers = "[{dense: 3}]"};
    open_puppet(&p, &h);
    herd_submit(&h, &job);
    herd_place(&h, BOTH, 2, WIRE_CAUSE_PLACED);
    await(&p, &p.elements, 1);
    EXPECT_EQ(p.answered, 0);

    EXPECT(pthread_mutex_lock(&p.lock) == 0);
    struct wire_fence fence = herd_place(&h, BOTH, 2, WIRE_CAUSE_RENEWED);
    p.early = fence.index;
    EXPECT(pthread_mutex_unlock(&p.lock) == 0);
    await(&p, &p.answered, fence.index);
    EXPECT_EQ(p.answered, fence.index);
    close_puppet(&p);
}

/* The newest checkpoint of the job, of a run of the agent alone. */
static void make_checkpoint(struct herd *h, struct jobs_checkpoint *out)
{
    static const uint32_t FIRST[] = {0};
    struct service_view *view;
    struct jobs_unit unit;
    uint32_t count = 0;
    herd_place(h, FIRST, 1, WIRE_CAUSE_PLACED);
    herd_await_checkpoint(h, 10);
    EXPECT_EQ(service_view_open(h->agents[0].s, &view), SH_OK);
    EXPECT_EQ(jobs_checkpoint_list(service_view_table(view), (struct wire_unit){.job = h->job}, out,
                                   1, &count),
              SH_OK);
    EXPECT_EQ(count, 1);
    service_view_close(view);
    herd_ask_to_stop(h);
    herd_await_end(h, &unit);
}

/* Of the gang with that fence, as others of it would announce it. */
static void announce(struct herd *h, struct wire_fence fence, uint64_t step, const uint8_t *blob)
{
    struct service_status status;
    struct jobs_result result;
    struct jobs_cmd cmd = {.type = JOBS_CHECKPOINT};
    struct jobs_checkpoint_add *c = &cmd.u.checkpoint;
    *c = (struct jobs_checkpoint_add){
        .unit = {.job = h->job}, .fence = fence, .step = step, .holder_count = 1};
    service_status(h->agents[0].s, &status);
    memcpy(c->holders[0], status.node_id, sizeof c->holders[0]);
    memcpy(c->manifest, blob, sizeof c->manifest);
    memory_service_apply(h->agents[0].s, &cmd, &result);
    EXPECT_EQ(result.err, SH_OK);
}

/* While it stood still, others have gone on, and left no more than a checkpoint. */
TEST(who_comes_back_behind_the_newest_checkpoint_goes_on_from_there)
{
    static const uint32_t BOTH[] = {0, 1};
    static struct herd h;
    struct puppet p;
    struct herd_job job = {.epochs = 10000, .checkpoint_every = 10};
    struct jobs_checkpoint good;
    uint8_t bad[SH_DIGEST_BYTES];
    open_puppet(&p, &h);
    herd_submit(&h, &job);
    make_checkpoint(&h, &good);
    EXPECT_EQ(service_blob_put(h.agents[0].s, "no state", 8, 1, bad, NULL, HERD_WAIT_US), SH_OK);

    herd_submit(&h, &job);
    struct wire_fence fence = herd_place(&h, BOTH, 2, WIRE_CAUSE_PLACED);
    await(&p, &p.stands, fence.index);
    EXPECT_EQ(p.position, 0);
    announce(&h, fence, good.step - 1, bad);
    fence = herd_place(&h, BOTH, 2, WIRE_CAUSE_RENEWED);
    await(&p, &p.stands, fence.index);
    EXPECT_EQ(p.position, 0); /* it has kept what it held */
    EXPECT(herd_logged(&h, "alpha cannot use the checkpoint after step "));
    announce(&h, fence, good.step, good.manifest);
    fence = herd_place(&h, BOTH, 2, WIRE_CAUSE_RENEWED);
    await(&p, &p.stands, fence.index);
    EXPECT(p.position >= good.step);
    EXPECT(herd_logged(&h, "alpha goes on from the checkpoint after step "));
    close_puppet(&p);
}
