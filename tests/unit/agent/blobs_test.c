/* SPDX-License-Identifier: Apache-2.0 */
#include "cells.h"

#include "base/host/host.h"
#include "store/kv_mem.h"
#include "tst.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECOND UINT64_C(1000000)

enum { OP_HAS = 1, OP_READ = 2, OP_WRITE = 3 };
enum { BIG = 5 * BLOBS_PIECE_BYTES + 1234 };

static struct cells cells;
static uint8_t content[BIG];

static void open_cells(size_t count)
{
    cells_open(&cells);
    for (size_t i = 0; i < count; i++) {
        (void)cells_add(&cells, CELLS_BLOBS);
    }
    for (size_t i = 0; i < sizeof content; i++) {
        content[i] = (uint8_t)(i * 7 + i / 251);
    }
}

static struct blobs *blobs_of(size_t i)
{
    return cells.at[i].s->blobs;
}

static bool holds(size_t i, const struct blob_id *id)
{
    bool has = false;
    EXPECT_EQ(blob_has(cells.at[i].s->blob, id, &has), SH_OK);
    return has;
}

static void expect_content(size_t i, const struct blob_id *id, size_t size)
{
    struct blob_reader *reader = NULL;
    size_t got = 0;
    uint8_t *bytes = malloc(size + 1);
    EXPECT(bytes != NULL);
    EXPECT_EQ(blob_read_open(cells.at[i].s->blob, id, &reader), SH_OK);
    EXPECT_EQ(blob_read(reader, 0, bytes, size + 1, &got), SH_OK);
    EXPECT_EQ(got, size);
    EXPECT_MEM(bytes, content, size);
    blob_read_close(reader);
    free(bytes);
}

TEST(a_blob_is_put_when_as_many_agents_as_asked_hold_it)
{
    struct blob_id id;
    struct service_holders held;
    open_cells(3);
    EXPECT_EQ(blobs_put(blobs_of(0), content, sizeof content, 2, &id, &held, 20 * SECOND), SH_OK);
    EXPECT(holds(0, &id));
    EXPECT_EQ(holds(1, &id) + holds(2, &id), 1);
    EXPECT_EQ(held.count, 2);
    EXPECT_MEM(held.ids[0], cells_id(&cells.at[0]), SH_NODE_ID_BYTES);
    EXPECT_MEM(held.ids[1], cells_id(&cells.at[holds(1, &id) ? 1 : 2]), SH_NODE_ID_BYTES);
    EXPECT_EQ(blobs_copy(blobs_of(0), &id, 3, &held, 20 * SECOND), SH_OK);
    EXPECT_EQ(held.count, 3);
    for (size_t i = 0; i < 3; i++) {
        expect_content(i, &id, sizeof content);
    }
    cells_close(&cells);
}

TEST(fewer_live_agents_than_copies_asked_for_are_enough)
{
    struct blob_id id;
    open_cells(3);
    cells_say(&cells.at[2], SERVICE_DEAD);
    cells_wire_of(&cells.at[2], CELLS_SWALLOW);
    EXPECT_EQ(blobs_put(blobs_of(0), content, 1000, 7, &id, NULL, 20 * SECOND), SH_OK);
    EXPECT(holds(1, &id));
    EXPECT(!holds(2, &id));
    cells_close(&cells);
}

TEST(an_agent_alone_keeps_a_blob_without_asking_anybody)
{
    struct blob_id id;
    open_cells(1);
    EXPECT_EQ(blobs_put(blobs_of(0), content, 10, 3, &id, NULL, 0), SH_OK);
    EXPECT(holds(0, &id));
    cells_close(&cells);
}

TEST(the_empty_blob_is_copied_and_fetched_like_any_other)
{
    struct blob_id id;
    uint64_t size = 9;
    open_cells(3);
    EXPECT_EQ(blobs_put(blobs_of(0), content, 0, 2, &id, NULL, 20 * SECOND), SH_OK);
    EXPECT_EQ(holds(1, &id) + holds(2, &id), 1);
    for (size_t i = 1; i < 3; i++) {
        EXPECT_EQ(blobs_fetch(blobs_of(i), &id, &size, 20 * SECOND), SH_OK);
        EXPECT_EQ(size, 0);
        EXPECT(holds(i, &id));
    }
    cells_close(&cells);
}

static void *put_whole(void *arg)
{
    EXPECT_EQ(blobs_put(blobs_of(0), content, sizeof content, 2, arg, NULL, 30 * SECOND), SH_OK);
    return NULL;
}

TEST(a_copy_goes_on_where_the_connection_broke)
{
    pthread_t thread;
    struct blob_id id;
    open_cells(2);
    cells_budget(&cells, 6); /* three pieces and their answers */
    EXPECT_EQ(pthread_create(&thread, NULL, put_whole, &id), 0);
    EXPECT(cells_await(&cells, CALLS_REPLY, 3));
    cells_wire_of(&cells.at[1], CELLS_BREAK);
    cells_say(&cells.at[1], SERVICE_DEAD);
    calls_peer_down(cells.at[0].s->calls, CALLS_BULK, cells_id(&cells.at[1]));
    EXPECT_EQ(pthread_join(thread, NULL), 0); /* nobody else is live: one copy is enough */
    EXPECT(!holds(1, &id));
    EXPECT_EQ(cells_frames(&cells, CALLS_REQUEST), 3);
    cells_wire_of(&cells.at[1], CELLS_CARRY);
    cells_say(&cells.at[1], SERVICE_ALIVE);
    cells_budget(&cells, UINT64_MAX);
    EXPECT_EQ(blobs_copy(blobs_of(0), &id, 2, NULL, 20 * SECOND), SH_OK);
    expect_content(1, &id, sizeof content);
    /* One piece to learn where the receiver is, then the three that were missing. */
    EXPECT_EQ(cells_frames(&cells, CALLS_REQUEST), 3 + 4);
    cells_close(&cells);
}

TEST(a_copy_of_what_the_receiver_has_costs_one_question)
{
    struct blob_id id;
    open_cells(2);
    EXPECT_EQ(blob_put(cells.at[1].s->blob, content, sizeof content, &id), SH_OK);
    EXPECT_EQ(blobs_put(blobs_of(0), content, sizeof content, 2, &id, NULL, 20 * SECOND), SH_OK);
    EXPECT_EQ(cells_frames(&cells, CALLS_REQUEST), 1);
    cells_close(&cells);
}

TEST(what_is_not_here_cannot_be_copied_and_that_is_said_at_once)
{
    struct blob_id id = {{1, 2, 3}};
    open_cells(2);
    uint64_t before = sh_now_us();
    EXPECT_EQ(blobs_copy(blobs_of(0), &id, 2, NULL, 20 * SECOND), SH_ERR_NOT_FOUND);
    EXPECT(sh_now_us() - before < 10 * SECOND);
    EXPECT_EQ(cells_frames(&cells, CALLS_REQUEST), 0);
    cells_close(&cells);
}

TEST(two_agents_may_push_the_same_blob_to_a_third_at_once)
{
    struct blob_id id;
    struct blob_id same;
    open_cells(3);
    cells_say(&cells.at[1], SERVICE_DEAD);
    EXPECT_EQ(blob_put(cells.at[1].s->blob, content, sizeof content, &same), SH_OK);
    cells_budget(&cells, 4);
    EXPECT_EQ(blobs_put(blobs_of(0), content, sizeof content, 2, &id, NULL, SECOND / 10),
              SH_ERR_TIMEOUT);
    cells_budget(&cells, UINT64_MAX);
    cells_say(&cells.at[0], SERVICE_DEAD); /* so that the second one pushes to the third */
    EXPECT_EQ(blobs_copy(blobs_of(1), &same, 2, NULL, 20 * SECOND), SH_OK);
    expect_content(2, &same, sizeof content);
    EXPECT_EQ(blobs_copy(blobs_of(0), &id, 2, NULL, 20 * SECOND), SH_OK);
    cells_close(&cells);
}

TEST(a_fetch_takes_the_second_holder_where_the_first_is_gone)
{
    struct blob_id id;
    uint64_t size = 0;
    open_cells(3);
    EXPECT_EQ(blob_put(cells.at[1].s->blob, content, sizeof content, &id), SH_OK);
    EXPECT_EQ(blob_put(cells.at[2].s->blob, content, sizeof content, &id), SH_OK);
    cells_wire_of(&cells.at[1], CELLS_BREAK);
    EXPECT_EQ(blobs_fetch(blobs_of(0), &id, &size, 20 * SECOND), SH_OK);
    EXPECT_EQ(size, sizeof content);
    expect_content(0, &id, sizeof content);
    cells_close(&cells);
}

/* ---- slow links ---- */

#define SLOW_US  (SECOND / 4) /* of one piece over a slow link */
#define QUIET_US SECOND       /* less than all of them take */

static atomic_uint pieces; /* answered over a slow link */

static void take_time(uint64_t us)
{
    struct timespec left = {.tv_sec = (time_t)(us / SECOND), .tv_nsec = (long)(us % SECOND) * 1000};
    while (nanosleep(&left, &left) != 0) {
    }
}

/* Takes and gives pieces of the content, each after its time on the way. */
static enum sh_err answer_slowly(void *ctx, struct sh_span request, uint8_t *reply, size_t capacity,
                                 size_t *reply_size)
{
    (void)ctx;
    struct sh_reader r = sh_reader_over(request.at, request.size);
    struct sh_writer w = sh_writer_over(reply, capacity);
    struct blob_id id;
    uint8_t op = sh_get_u8(&r);
    sh_get_bytes(&r, id.digest, sizeof id.digest);
    uint64_t first = sh_get_u64(&r);
    if (op == OP_HAS) {
        sh_put_u8(&w, 1);
        sh_put_u64(&w, sizeof content);
    } else if (op == OP_READ) {
        size_t rest = sizeof content - (size_t)first;
        sh_put_bytes(&w, content + first, rest < BLOBS_PIECE_BYTES ? rest : BLOBS_PIECE_BYTES);
    } else {
        uint64_t offset = sh_get_u64(&r);
        (void)sh_get_u64(&r);
        sh_put_u64(&w, offset + sh_get_blob(&r, BLOBS_PIECE_BYTES).size);
    }
    take_time(op == OP_HAS ? 0 : SLOW_US);
    atomic_fetch_add(&pieces, 1);
    *reply_size = w.used;
    return SH_OK;
}

static void open_slow_link(service_call_fn answer)
{
    open_cells(1);
    atomic_store(&pieces, 0);
    calls_on(cells_add(&cells, 0)->s->calls, SERVICE_CALL_BLOB, answer, NULL);
}

TEST(a_put_goes_on_as_long_as_pieces_are_acknowledged_however_long_the_whole_takes)
{
    const struct service_patience patience = {.quiet_us = QUIET_US};
    struct blob_id id;
    struct service_holders held;
    open_slow_link(answer_slowly);
    EXPECT_EQ(blobs_put(blobs_of(0), content, sizeof content, 2, &id, NULL, QUIET_US),
              SH_ERR_TIMEOUT);
    EXPECT_EQ(blobs_put_patient(blobs_of(0), content, sizeof content, 2, &id, &held, &patience),
              SH_OK);
    EXPECT_EQ(held.count, 2);
    cells_close(&cells);
}

TEST(a_fetch_goes_on_as_long_as_pieces_come_however_long_the_whole_takes)
{
    const struct service_patience patience = {.quiet_us = QUIET_US};
    struct blob_id id;
    uint64_t size = 0;
    open_slow_link(answer_slowly);
    sh_blake2b(id.digest, sizeof id.digest, content, sizeof content);
    EXPECT_EQ(blobs_fetch_patient(blobs_of(0), &id, &size, &patience), SH_OK);
    EXPECT_EQ(size, sizeof content);
    expect_content(0, &id, sizeof content);
    cells_close(&cells);
}

/* Takes the first piece each time anew, and fails at the second. */
static enum sh_err forget_pieces(void *ctx, struct sh_span request, uint8_t *reply, size_t capacity,
                                 size_t *reply_size)
{
    (void)ctx;
    struct sh_reader r = sh_reader_over(request.at + 1, request.size - 1);
    struct sh_writer w = sh_writer_over(reply, capacity);
    struct blob_id id;
    sh_get_bytes(&r, id.digest, sizeof id.digest);
    (void)sh_get_u64(&r);
    uint64_t offset = sh_get_u64(&r);
    sh_put_u64(&w, BLOBS_PIECE_BYTES);
    *reply_size = w.used;
    return offset == 0 ? SH_OK : SH_ERR_NO_SPACE;
}

TEST(bytes_that_an_agent_had_acknowledged_before_do_not_prolong_a_put)
{
    const struct service_patience patience = {.quiet_us = SECOND / 2};
    struct blob_id id;
    open_slow_link(forget_pieces);
    EXPECT_EQ(blobs_put_patient(blobs_of(0), content, sizeof content, 2, &id, NULL, &patience),
              SH_ERR_TIMEOUT);
    cells_close(&cells);
}

static bool two_pieces_came(void *ctx)
{
    (void)ctx;
    return atomic_load(&pieces) >= 2;
}

TEST(a_put_that_nobody_wants_any_more_ends_at_the_next_piece)
{
    const struct service_patience patience = {.quiet_us = 20 * SECOND, .is_over = two_pieces_came};
    struct blob_id id;
    open_slow_link(answer_slowly);
    EXPECT_EQ(blobs_put_patient(blobs_of(0), content, sizeof content, 2, &id, NULL, &patience),
              SH_ERR_CANCELLED);
    EXPECT_EQ(atomic_load(&pieces), 2);
    cells_close(&cells);
}

/* Says that it has every blob and hands out other bytes. */
static enum sh_err lie(void *ctx, struct sh_span request, uint8_t *reply, size_t capacity,
                       size_t *reply_size)
{
    const uint64_t *claimed = ctx;
    struct sh_writer w = sh_writer_over(reply, capacity);
    if (request.at[0] == OP_HAS) {
        sh_put_u8(&w, 1);
        sh_put_u64(&w, *claimed);
        *reply_size = w.used;
    } else {
        size_t size = *claimed < BLOBS_PIECE_BYTES ? (size_t)*claimed : BLOBS_PIECE_BYTES;
        memset(reply, 0x55, size);
        *reply_size = size;
    }
    return SH_OK;
}

static const uint64_t CLAIMS[] = {BIG, 100, 0, BLOBS_PIECE_BYTES};

TEST_ROWS(a_fetch_takes_no_byte_of_a_holder_that_lies, CLAIMS)
{
    struct blob_id id;
    uint64_t size = 0;
    uint64_t claimed = CLAIMS[tst_row];
    cells_open(&cells);
    (void)cells_add(&cells, CELLS_BLOBS);
    calls_on(cells_add(&cells, 0)->s->calls, SERVICE_CALL_BLOB, lie, &claimed);
    (void)cells_add(&cells, CELLS_BLOBS);
    for (size_t i = 0; i < 1000; i++) {
        content[i] = (uint8_t)i;
    }
    EXPECT_EQ(blob_put(cells.at[2].s->blob, content, 1000, &id), SH_OK);
    EXPECT_EQ(blobs_fetch(blobs_of(0), &id, &size, 20 * SECOND), SH_OK);
    expect_content(0, &id, 1000);
    cells_close(&cells);
}

TEST(a_fetch_says_not_found_only_when_everybody_said_so)
{
    struct blob_id id = {{4, 4}};
    uint64_t size = 0;
    open_cells(3);
    EXPECT_EQ(blobs_fetch(blobs_of(0), &id, &size, 20 * SECOND), SH_ERR_NOT_FOUND);
    cells_wire_of(&cells.at[2], CELLS_SWALLOW);
    EXPECT_EQ(blobs_fetch(blobs_of(0), &id, &size, SECOND / 20), SH_ERR_TIMEOUT);
    cells_close(&cells);
}

TEST(a_fetch_of_what_is_here_asks_nobody)
{
    struct blob_id id;
    uint64_t size = 0;
    open_cells(2);
    EXPECT_EQ(blob_put(cells.at[0].s->blob, content, 77, &id), SH_OK);
    EXPECT_EQ(blobs_fetch(blobs_of(0), &id, &size, 0), SH_OK);
    EXPECT_EQ(size, 77);
    EXPECT_EQ(cells_frames(&cells, CALLS_REQUEST), 0);
    cells_close(&cells);
}

static size_t request_of(uint8_t *out, int op, const struct blob_id *id)
{
    struct sh_writer w = sh_writer_over(out, 33);
    sh_put_u8(&w, (uint8_t)op);
    sh_put_bytes(&w, id->digest, sizeof id->digest);
    return w.used;
}

static enum sh_err write_first(size_t to, uint8_t number)
{
    static uint8_t request[64 + 16];
    uint8_t reply[16];
    size_t got = 0;
    struct blob_id id = {{number}};
    struct sh_writer w = sh_writer_over(request, sizeof request);
    w.used = request_of(request, OP_WRITE, &id);
    sh_put_u64(&w, 100);
    sh_put_u64(&w, 0);
    sh_put_u64(&w, 0);
    sh_put_blob(&w, content, 10);
    return cells_ask(&cells.at[to], SERVICE_CALL_BLOB, request, w.used, reply, sizeof reply, &got);
}

TEST(blobs_that_are_being_received_are_bounded)
{
    open_cells(1);
    for (uint8_t i = 0; i < BLOBS_PUSHED_MAX; i++) {
        EXPECT_EQ(write_first(0, i), SH_OK);
    }
    EXPECT_EQ(write_first(0, 100), SH_ERR_FULL);
    EXPECT_EQ(write_first(0, 3), SH_OK);
    cells_close(&cells);
}

TEST(a_receiver_whose_disk_fails_says_so_and_keeps_its_places)
{
    struct blob_id id;
    open_cells(2);
    kv_mem_fail(cells.at[1].s->bulk_kv, 1, SH_ERR_NO_SPACE, false);
    EXPECT_EQ(blobs_put(blobs_of(0), content, sizeof content, 2, &id, NULL, SECOND / 10),
              SH_ERR_TIMEOUT);
    EXPECT(holds(0, &id) && !holds(1, &id));
    for (uint8_t i = 0; i < 2 * BLOBS_PUSHED_MAX; i++) {
        EXPECT(write_first(1, i) != SH_ERR_FULL);
    }
    cells_close(&cells);
}

TEST(a_failing_disk_of_its_own_ends_a_put_and_a_fetch)
{
    struct blob_id id;
    uint64_t size = 0;
    for (uint32_t n = 1; n < 4; n++) {
        open_cells(2);
        EXPECT_EQ(blob_put(cells.at[1].s->blob, content, sizeof content, &id), SH_OK);
        kv_mem_fail(cells.at[0].s->bulk_kv, n, SH_ERR_IO, false);
        EXPECT(blobs_fetch(blobs_of(0), &id, &size, SECOND / 20) != SH_OK);
        EXPECT_EQ(blobs_put(blobs_of(0), content, 10, 1, &id, NULL, SECOND / 20), SH_ERR_IO);
        cells_close(&cells);
    }
}

static void *put_long(void *arg)
{
    struct blob_id id;
    *(enum sh_err *)arg = blobs_put(blobs_of(0), content, 1000, 2, &id, NULL, 30 * SECOND);
    return NULL;
}

static void *fetch_long(void *arg)
{
    struct blob_id id = {{9, 9}};
    uint64_t size = 0;
    *(enum sh_err *)arg = blobs_fetch(blobs_of(0), &id, &size, 30 * SECOND);
    return NULL;
}

TEST(stopping_ends_copies_and_fetches_under_way)
{
    pthread_t threads[2];
    enum sh_err errs[2] = {SH_OK, SH_OK};
    open_cells(2);
    cells_wire_of(&cells.at[1], CELLS_SWALLOW);
    EXPECT_EQ(pthread_create(&threads[0], NULL, put_long, &errs[0]), 0);
    EXPECT_EQ(pthread_create(&threads[1], NULL, fetch_long, &errs[1]), 0);
    cells_stop(&cells.at[0]);
    for (size_t i = 0; i < 2; i++) {
        EXPECT_EQ(pthread_join(threads[i], NULL), 0);
        EXPECT_EQ(errs[i], SH_ERR_CANCELLED);
    }
    cells_close(&cells);
}

TEST(damaged_questions_about_blobs_are_refused)
{
    struct blob_id id;
    uint8_t reply[64];
    uint8_t request[64] = {0};
    size_t got = 0;
    open_cells(1);
    EXPECT_EQ(blob_put(cells.at[0].s->blob, content, 500, &id), SH_OK);
    for (int op = 0; op < 6; op++) {
        size_t full = request_of(request, op, &id);
        for (size_t size = 0; size <= full; size++) {
            bool answered = op == OP_HAS && size == full;
            EXPECT_EQ(cells_ask(&cells.at[0], SERVICE_CALL_BLOB, request, size, reply, sizeof reply,
                                &got),
                      answered ? SH_OK : SH_ERR_INVALID);
        }
    }
    struct sh_writer w = sh_writer_over(request, sizeof request);
    w.used = request_of(request, OP_READ, &id);
    sh_put_u64(&w, UINT64_MAX);
    sh_put_u32(&w, 32);
    EXPECT_EQ(
        cells_ask(&cells.at[0], SERVICE_CALL_BLOB, request, w.used, reply, sizeof reply, &got),
        SH_OK);
    EXPECT_EQ(got, 0);
    request[41] = 200; /* more than the asker can take */
    EXPECT_EQ(
        cells_ask(&cells.at[0], SERVICE_CALL_BLOB, request, w.used, reply, sizeof reply, &got),
        SH_ERR_INVALID);
    EXPECT_EQ(cells_ask(&cells.at[0], SERVICE_CALL_BLOB, request, request_of(request, OP_HAS, &id),
                        reply, 3, &got),
              SH_ERR_LIMIT);
    cells_close(&cells);
}

/* Flips a bit of the only chunk that a cell holds. */
static void rot(size_t i)
{
    struct kv *kv = cells.at[i].s->bulk_kv;
    struct kv_iter *iter = NULL;
    struct kv_batch batch;
    EXPECT_EQ(kv_iter_open(kv, NULL, 0, KV_SPAN("c", 1), KV_SPAN("d", 1), &iter), SH_OK);
    EXPECT(kv_iter_first(iter));
    struct sh_span value = kv_iter_value(iter);
    uint8_t *bytes = malloc(value.size);
    EXPECT(bytes != NULL);
    memcpy(bytes, value.at, value.size);
    bytes[value.size / 2] ^= 4;
    kv_batch_init(&batch);
    kv_batch_put(&batch, 0, kv_iter_key(iter), KV_SPAN(bytes, value.size));
    EXPECT_EQ(kv_write(kv, &batch, true), SH_OK);
    kv_batch_fini(&batch);
    kv_iter_close(iter);
    free(bytes);
}

TEST(a_damaged_copy_is_replaced_by_a_sound_one_of_another_agent)
{
    struct blob_id id;
    uint64_t size = 0;
    open_cells(3);
    for (size_t i = 0; i < 3; i++) {
        EXPECT_EQ(blob_put(cells.at[i].s->blob, content, 5000, &id), SH_OK);
    }
    rot(0);
    rot(1); /* asked first, and it must not be believed */
    EXPECT_EQ(blobs_fetch(blobs_of(0), &id, &size, 20 * SECOND), SH_OK);
    EXPECT_EQ(size, 5000);
    expect_content(0, &id, 5000);
    cells_close(&cells);
}

TEST(a_blob_of_which_every_copy_is_damaged_is_corrupt)
{
    struct blob_id id;
    uint64_t size = 0;
    open_cells(2);
    for (size_t i = 0; i < 2; i++) {
        EXPECT_EQ(blob_put(cells.at[i].s->blob, content, 5000, &id), SH_OK);
        rot(i);
    }
    EXPECT_EQ(blobs_fetch(blobs_of(0), &id, &size, 20 * SECOND), SH_ERR_CORRUPT);
    cells_close(&cells);
}

TEST(a_damaged_copy_is_not_copied_to_others)
{
    struct blob_id id;
    open_cells(2);
    EXPECT_EQ(blob_put(cells.at[0].s->blob, content, 5000, &id), SH_OK);
    rot(0);
    EXPECT_EQ(blobs_copy(blobs_of(0), &id, 2, NULL, 20 * SECOND), SH_ERR_CORRUPT);
    EXPECT(!holds(1, &id));
    cells_close(&cells);
}
