/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as what members of federated rounds send each other and keep: byte 0 chooses the
 * decoder. What decodes encodes to bytes that decode to the same. */
#include "rounds/masking.h"
#include "rounds/message.h"
#include "rounds/model.h"
#include "rounds/state.h"
#include "rounds/update.h"

#include "base/host/host.h"

#include <stdlib.h>
#include <string.h>

enum { FLOATS = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void invite(struct sh_span span)
{
    struct rounds_invite a;
    struct rounds_invite b;
    uint8_t bytes[ROUNDS_MESSAGE_BYTES];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    if (rounds_invite_decode(span, &a) == SH_OK) {
        rounds_invite_encode(&a, &w);
        SH_CHECK(!w.full);
        SH_CHECK(rounds_invite_decode((struct sh_span){.at = bytes, .size = w.used}, &b) == SH_OK);
        SH_CHECK(memcmp(a.state, b.state, sizeof a.state) == 0);
    }
}

static void report(struct sh_span span)
{
    struct rounds_report a;
    struct rounds_report b;
    uint8_t bytes[ROUNDS_MESSAGE_BYTES];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    if (rounds_report_decode(span, &a) == SH_OK) {
        rounds_report_encode(&a, &w);
        SH_CHECK(!w.full);
        SH_CHECK(rounds_report_decode((struct sh_span){.at = bytes, .size = w.used}, &b) == SH_OK);
        SH_CHECK(strcmp(a.text, b.text) == 0);
    }
}

static void update(struct sh_span span)
{
    float change[FLOATS];
    float controls[FLOATS];
    SH_MAY_FAIL(rounds_update_decode(span, 0, change, controls, FLOATS) == SH_OK);
    SH_MAY_FAIL(rounds_update_decode(span, 0, change, NULL, FLOATS) == SH_OK);
}

static void state(struct sh_span span)
{
    struct rounds_state s;
    if (rounds_state_decode(span, &s) == SH_OK) {
        uint8_t *bytes = malloc(rounds_state_size(&s));
        SH_CHECK(bytes != NULL);
        rounds_state_encode(&s, bytes);
        SH_CHECK_CMP(rounds_state_size(&s), ==, span.size);
        SH_CHECK(memcmp(bytes, span.at, span.size) == 0);
        free(bytes);
    }
}

static void model(struct sh_span span)
{
    struct rounds_model m;
    char why[128];
    uint8_t *bytes = malloc(span.size + 1);
    SH_CHECK(bytes != NULL);
    if (span.size > 0) {
        memcpy(bytes, span.at, span.size);
    }
    if (rounds_model_open(&m, bytes, span.size, why, sizeof why) == SH_OK) {
        float *x = malloc(m.floats * sizeof *x);
        SH_CHECK(x != NULL);
        rounds_model_get(&m, x);
        rounds_model_put(&m, x);
        SH_CHECK(rounds_model_tensor(&m, m.floats - 1) != NULL);
        free(x);
        rounds_model_close(&m);
    }
}

static bool known(void *context, const uint8_t node[SH_NODE_ID_BYTES])
{
    (void)context;
    (void)node;
    return true;
}

/* A question of a secure sum, to a member that has an update of round 0 and sent its keys. */
static void question(struct sh_span span)
{
    static struct rounds_masking masking;
    static struct trust trust;
    static const struct spec_federated fed = {.secure = true, .least = 3};
    static const struct trust_secret secret = {{5}};
    const uint8_t seed[TRUST_KEY_BYTES] = {1};
    uint8_t reply[ROUNDS_SUM_BYTES];
    struct rounds_sum_question q;
    struct sh_reader r = sh_reader_over(span.at, span.size);
    struct sh_writer w = sh_writer_over(reply, sizeof reply);
    if (masking.config.trust == NULL) {
        const struct rounds_masking_config config = {.trust = &trust, .fed = &fed, .known = known};
        sh_host_init();
        trust_ephemeral(&trust, &secret, seed, 1);
        rounds_masking_init(&masking, &config);
    }
    float *change = calloc(FLOATS, sizeof *change);
    SH_CHECK(change != NULL);
    rounds_masking_take(&masking, 0, change, FLOATS);
    if (rounds_sum_question_get(&r, &q) == SH_OK) {
        const struct rounds_sum_question keys = {
            .step = ROUNDS_SUM_KEYS, .sum = {.generation = 1, .count = FLOATS, .bits = 64}};
        struct rounds_sum_question mine = keys;
        memcpy(mine.sum.cluster, trust.cluster, sizeof trust.cluster);
        rounds_masking_answer(&masking, &mine, &r, &w);
        SH_CHECK(!w.full);
        w = sh_writer_over(reply, sizeof reply);
        rounds_masking_answer(&masking, &q, &r, &w);
        SH_CHECK(!w.full);
        SH_CHECK(w.used > 0);
    }
    rounds_masking_drop(&masking);
}

static void status(struct sh_span span)
{
    enum rounds_sum_status status;
    char why[ROUNDS_TEXT_MAX + 1];
    struct sh_reader r = sh_reader_over(span.at, span.size);
    if (rounds_sum_status_get(&r, &status, why) == SH_OK) {
        SH_CHECK(status >= ROUNDS_SUM_DONE && status <= ROUNDS_SUM_REFUSES);
        SH_CHECK(strlen(why) <= ROUNDS_TEXT_MAX);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum rounds_message kind;
    struct wire_unit unit;
    if (size == 0) {
        return 0;
    }
    struct sh_span span = {.at = data + 1, .size = size - 1};
    switch (data[0] % 7) {
    case 0:
        SH_MAY_FAIL(rounds_message_peek(span, &kind, &unit) == SH_OK);
        invite(span);
        break;
    case 1:
        report(span);
        break;
    case 2:
        update(span);
        break;
    case 3:
        state(span);
        break;
    case 4:
        model(span);
        break;
    case 5:
        question(span);
        break;
    default:
        status(span);
        break;
    }
    return 0;
}
