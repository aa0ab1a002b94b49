/* SPDX-License-Identifier: Apache-2.0 */
#include "memory_bulk.h"
#include "memory_service.h"
#include "train/exchange.h"
#include "train/message.h"
#include "train/session.h"
#include "tst.h"

#include "base/host/host.h"
#include "kernels/kn.h"
#include "wire/frame.h"

#include <string.h>

static const struct wire_unit UNIT = {.job = 3};

static void ended(void *ctx)
{
    (void)ctx;
}

/* A session of two members that cannot prepare: its job is no job. */
static struct train_session *unprepared(struct service *s, struct bulk *bulk, const uint8_t *other)
{
    struct train_session *x = NULL;
    struct service_status status;
    struct train_session_config config = {
        .s = s, .bulk = bulk, .threads = 1, .part = {.unit = UNIT, .ended = ended}};
    struct train_assignment first = {.placement = {.fence = {.term = 1, .index = 5}}};
    struct wire_member *members = first.placement.members;
    service_status(s, &status);
    config.part.spec = (struct sh_span){.at = (const uint8_t *)"{}", .size = 2};
    first.placement.member_count = 2;
    members[0] = (struct wire_member){.rank_hi = 1};
    members[1] = (struct wire_member){.rank_lo = 1, .rank_hi = 2};
    memcpy(members[0].node, other, SH_NODE_ID_BYTES);
    memcpy(members[1].node, status.node_id, SH_NODE_ID_BYTES);
    EXPECT_EQ(train_session_open(&x, &config, &first), SH_OK);
    return x;
}

static size_t chunk_frame(uint8_t out[static TRAIN_UNIT_HEAD + ROUND_FRAME_BYTES])
{
    struct sh_writer w = sh_writer_over(out, TRAIN_UNIT_HEAD);
    struct round_frame header = {.kind = ROUND_FRAME_ASK_PART, .generation = 5, .sequence = 1};
    sh_put_u64(&w, UNIT.job);
    sh_put_u32(&w, UNIT.unit);
    sh_put_u32(&w, 0);
    round_frame_encode(&header, out + TRAIN_UNIT_HEAD);
    return TRAIN_UNIT_HEAD + ROUND_FRAME_BYTES;
}

/* A member that was restarted is sent chunks of the round that it left, and hears of lost members,
 * while it unpacks its data. */
TEST(what_others_send_to_a_session_that_is_not_prepared_changes_nothing)
{
    struct memory_net_config plain = {.seed = 1};
    struct kn_diag diag;
    struct service_status other;
    uint8_t chunk[TRAIN_UNIT_HEAD + ROUND_FRAME_BYTES];
    uint8_t hello[TRAIN_UNIT_HEAD] = {0};
    struct round_frame header;
    struct wire_unit unit;
    struct sh_span none;
    sh_host_init();
    EXPECT_EQ(kn_open(&diag), KN_OK);
    struct memory_net *net = memory_net_open(&plain);
    struct service *alpha = memory_service_open();
    struct service *beta = memory_service_join(alpha, "beta");
    struct bulk *bulk = memory_bulk_open(net, beta);
    service_status(alpha, &other);
    struct sh_span frame = {.at = chunk, .size = chunk_frame(chunk)};
    EXPECT_EQ(train_exchange_decode(frame, &unit, &header, &none), SH_OK);
    EXPECT_EQ(unit.job, UNIT.job);

    struct train_session *x = unprepared(beta, bulk, other.node_id);
    struct sh_span zeros = {.at = hello, .size = sizeof hello};
    for (int i = 0; i < 100; i++) {
        train_session_frame(x, other.node_id, FRAME_TRAIN_CHUNK, frame, -1);
        train_session_frame(x, other.node_id, FRAME_TRAIN_HELLO, zeros, -1);
        train_session_down(x, other.node_id);
    }
    train_session_leave(x);
    train_session_close(x);
    memory_bulk_close(bulk);
    memory_service_close(beta);
    memory_service_close(alpha);
    memory_net_close(net);
}
