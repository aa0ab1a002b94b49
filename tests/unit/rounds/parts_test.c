/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages, updates, states, models and how updates are combined; what members and leaders do with
 * them the bars show on real agents. */
#include "rounds/combine.h"
#include "rounds/message.h"
#include "rounds/record.h"
#include "rounds/state.h"
#include "rounds/update.h"
#include "tst.h"

#include "base/rng.h"
#include "kernels/agg/client.h"
#include "spec/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- messages ---- */

static struct rounds_report report(void)
{
    struct rounds_report r = {.unit = {7, 1},
                              .generation = 9,
                              .round = 3,
                              .answer = ROUNDS_DELIVERS,
                              .evaluated = true,
                              .figures = {.samples = 1,
                                          .steps = 2,
                                          .took_us = 3,
                                          .train_loss = 0.5,
                                          .val_loss = 6,
                                          .val_correct = 7,
                                          .val_total = 8,
                                          .test_loss = 9,
                                          .test_correct = 10,
                                          .test_total = 11},
                              .text = "all is well"};
    memset(r.node, 0x11, sizeof r.node);
    memset(r.update, 0x22, sizeof r.update);
    return r;
}

TEST(an_invitation_comes_back_as_it_was)
{
    uint8_t bytes[ROUNDS_MESSAGE_BYTES];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    struct rounds_invite back;
    struct rounds_invite invite = {.unit = {7, 1}, .generation = 9, .round = 3, .evaluates = true};
    enum rounds_message kind;
    struct wire_unit unit;
    memset(invite.state, 0x33, sizeof invite.state);
    memset(invite.leader, 0x44, sizeof invite.leader);
    rounds_invite_encode(&invite, &w);
    struct sh_span span = {.at = bytes, .size = w.used};
    EXPECT_EQ(rounds_message_peek(span, &kind, &unit), SH_OK);
    EXPECT_EQ(kind, ROUNDS_INVITE);
    EXPECT(wire_unit_equal(unit, invite.unit));
    EXPECT_EQ(rounds_invite_decode(span, &back), SH_OK);
    EXPECT_EQ(back.generation, 9);
    EXPECT_EQ(back.round, 3);
    EXPECT(back.evaluates);
    EXPECT_MEM(back.state, invite.state, sizeof back.state);
    EXPECT_MEM(back.leader, invite.leader, sizeof back.leader);
    for (size_t size = 0; size < w.used; size++) {
        EXPECT_EQ(rounds_invite_decode((struct sh_span){.at = bytes, .size = size}, &back),
                  SH_ERR_CORRUPT);
    }
    bytes[1] = 2;
    EXPECT_EQ(rounds_invite_decode(span, &back), SH_ERR_VERSION);
    struct rounds_report other;
    EXPECT_EQ(rounds_report_decode(span, &other), SH_ERR_CORRUPT);
}

TEST(a_report_comes_back_as_it_was)
{
    uint8_t bytes[ROUNDS_MESSAGE_BYTES];
    uint8_t again[ROUNDS_MESSAGE_BYTES];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    struct rounds_report r = report();
    struct rounds_report back;
    rounds_report_encode(&r, &w);
    EXPECT(!w.full);
    EXPECT_EQ(rounds_report_decode((struct sh_span){.at = bytes, .size = w.used}, &back), SH_OK);
    struct sh_writer v = sh_writer_over(again, sizeof again);
    rounds_report_encode(&back, &v);
    EXPECT_EQ(v.used, w.used);
    EXPECT_MEM(again, bytes, w.used);
    EXPECT_STR(back.text, "all is well");
    EXPECT_EQ(back.figures.test_total, 11);
    for (size_t size = 0; size < w.used; size++) {
        EXPECT_EQ(rounds_report_decode((struct sh_span){.at = bytes, .size = size}, &back),
                  SH_ERR_CORRUPT);
    }
    r.figures.val_correct = 9; /* of 8 */
    w = sh_writer_over(bytes, sizeof bytes);
    rounds_report_encode(&r, &w);
    EXPECT_EQ(rounds_report_decode((struct sh_span){.at = bytes, .size = w.used}, &back),
              SH_ERR_CORRUPT);
}

TEST(a_report_with_the_longest_text_fits)
{
    uint8_t bytes[ROUNDS_MESSAGE_BYTES];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    struct rounds_report r = report();
    memset(r.text, 'x', ROUNDS_TEXT_MAX);
    r.text[ROUNDS_TEXT_MAX] = '\0';
    rounds_report_encode(&r, &w);
    EXPECT(!w.full);
}

/* ---- updates ---- */

TEST(an_update_is_of_one_round_and_one_model)
{
    const float change[3] = {1, -2, 0.5f};
    const float controls[3] = {4, 5, 6};
    float x[3];
    float v[3];
    uint8_t bytes[ROUNDS_UPDATE_HEAD + 24];
    rounds_update_encode(7, change, controls, 3, bytes);
    struct sh_span span = {.at = bytes, .size = rounds_update_size(3, true)};
    EXPECT_EQ(rounds_update_decode(span, 7, x, v, 3), SH_OK);
    EXPECT_MEM(x, change, sizeof x);
    EXPECT_MEM(v, controls, sizeof v);
    EXPECT_EQ(rounds_update_decode(span, 8, x, v, 3), SH_ERR_CONFLICT);
    EXPECT_EQ(rounds_update_decode(span, 7, x, v, 2), SH_ERR_CONFLICT);
    EXPECT_EQ(rounds_update_decode(span, 7, x, NULL, 3), SH_ERR_CONFLICT);
    span.size--;
    EXPECT_EQ(rounds_update_decode(span, 7, x, v, 3), SH_ERR_CORRUPT);
    span.size = 20;
    EXPECT_EQ(rounds_update_decode(span, 7, x, v, 3), SH_ERR_CORRUPT);
    bytes[4] = 2;
    span.size = rounds_update_size(3, true);
    EXPECT_EQ(rounds_update_decode(span, 7, x, v, 3), SH_ERR_VERSION);
    rounds_update_encode(7, change, NULL, 3, bytes);
    span.size = rounds_update_size(3, false);
    EXPECT_EQ(rounds_update_decode(span, 7, x, NULL, 3), SH_OK);
}

/* ---- states ---- */

static struct sh_span span_of(const void *at, size_t size)
{
    return (struct sh_span){.at = at, .size = size};
}

TEST(a_state_comes_back_as_it_was)
{
    static const float floats[4] = {1, 2, 3, 4};
    struct rounds_state back;
    struct rounds_state state = {.at = {.round = 5,
                                        .skips = 2,
                                        .scored = true,
                                        .best = 0.75,
                                        .not_best = 1,
                                        .end = FED_END_TARGET},
                                 .file = span_of("model", 5),
                                 .server = span_of(floats, sizeof floats),
                                 .controls = span_of(floats, 8),
                                 .records = span_of("{}\n", 3)};
    memset(state.spec, 0x66, sizeof state.spec);
    size_t size = rounds_state_size(&state);
    uint8_t *bytes = malloc(size + 1);
    EXPECT(bytes != NULL);
    rounds_state_encode(&state, bytes);
    EXPECT_EQ(rounds_state_decode(span_of(bytes, size), &back), SH_OK);
    EXPECT_EQ(back.at.round, 5);
    EXPECT_EQ(back.at.skips, 2);
    EXPECT(back.at.scored);
    EXPECT_NEAR(back.at.best, 0.75, 0);
    EXPECT_EQ(back.at.not_best, 1);
    EXPECT_EQ(back.at.end, FED_END_TARGET);
    EXPECT_EQ(back.file.size, 5);
    EXPECT_MEM(back.file.at, "model", 5);
    EXPECT_EQ(back.server.size, sizeof floats);
    EXPECT_MEM(back.server.at, floats, sizeof floats);
    EXPECT_EQ(back.controls.size, 8);
    EXPECT_MEM(back.records.at, "{}\n", 3);
    for (size_t cut = 0; cut < size; cut++) {
        EXPECT_EQ(rounds_state_decode(span_of(bytes, cut), &back), SH_ERR_CORRUPT);
    }
    bytes[size] = 0;
    EXPECT_EQ(rounds_state_decode(span_of(bytes, size + 1), &back), SH_ERR_CORRUPT);
    bytes[4] = 9;
    EXPECT_EQ(rounds_state_decode(span_of(bytes, size), &back), SH_ERR_VERSION);
    free(bytes);
}

/* ---- models ---- */

struct file {
    uint8_t *at;
    size_t size;
};

static enum kn_err put(void *context, const void *bytes, size_t size)
{
    struct file *f = context;
    f->at = realloc(f->at, f->size + size);
    EXPECT(f->at != NULL);
    memcpy(f->at + f->size, bytes, size);
    f->size += size;
    return KN_OK;
}

static struct rounds_model model(const float weight[4], const float mean[2])
{
    static const int64_t seen = 3;
    const struct kn_tensor tensors[] = {
        {.name = "dense.weight", .dtype = KN_DTYPE_F32, .rank = 2, .shape = {2, 2}, .data = weight},
        {.name = "bn.running_mean", .dtype = KN_DTYPE_F32, .rank = 1, .shape = {2}, .data = mean},
        {.name = "bn.seen", .dtype = KN_DTYPE_I64, .rank = 0, .data = &seen}};
    struct file f = {.at = NULL};
    struct kn_diag diag;
    struct rounds_model m;
    char why[128];
    struct kn_sink sink = {.put = put, .context = &f};
    EXPECT_EQ(kn_safetensors_write(tensors, 3, NULL, 0, sink, &diag), KN_OK);
    EXPECT_EQ(rounds_model_open(&m, f.at, f.size, why, sizeof why), SH_OK);
    return m;
}

TEST(a_model_is_one_vector_of_its_floats_by_name)
{
    const float weight[4] = {1, 2, 3, 4};
    const float mean[2] = {5, 6};
    float x[6];
    uint8_t before[SH_DIGEST_BYTES];
    uint8_t after[SH_DIGEST_BYTES];
    struct rounds_model m = model(weight, mean);
    EXPECT_EQ(m.floats, 6);
    rounds_model_get(&m, x);
    const float want[6] = {5, 6, 1, 2, 3, 4};
    EXPECT_MEM(x, want, sizeof x);
    EXPECT_STR(rounds_model_tensor(&m, 1), "bn.running_mean");
    EXPECT_STR(rounds_model_tensor(&m, 2), "dense.weight");
    EXPECT_EQ(rounds_model_digest(&m, before), SH_OK);
    x[5] = 7;
    rounds_model_put(&m, x);
    memset(x, 0, sizeof x);
    rounds_model_get(&m, x);
    EXPECT_NEAR((double)x[5], 7, 0);
    EXPECT_EQ(rounds_model_digest(&m, after), SH_OK);
    EXPECT(memcmp(before, after, sizeof before) != 0);
    rounds_model_close(&m);
}

/* Two clients with means -1 and 1 and variance 1 each: together their variance is 2. */
TEST(variances_are_pooled_as_moments)
{
    const float mean[1] = {0};
    const float variance[1] = {1};
    const struct kn_tensor tensors[] = {
        {.name = "bn.running_mean", .dtype = KN_DTYPE_F32, .rank = 1, .shape = {1}, .data = mean},
        {.name = "bn.running_var",
         .dtype = KN_DTYPE_F32,
         .rank = 1,
         .shape = {1},
         .data = variance}};
    struct file f = {.at = NULL};
    struct kn_diag diag;
    struct rounds_model m;
    char why[128];
    struct kn_sink sink = {.put = put, .context = &f};
    EXPECT_EQ(kn_safetensors_write(tensors, 2, NULL, 0, sink, &diag), KN_OK);
    EXPECT_EQ(rounds_model_open(&m, f.at, f.size, why, sizeof why), SH_OK);
    float a[2] = {-1, 1};
    float b[2] = {1, 1};
    float both[2];
    rounds_model_to_moments(&m, a);
    rounds_model_to_moments(&m, b);
    for (size_t i = 0; i < 2; i++) {
        both[i] = (a[i] + b[i]) / 2;
    }
    rounds_model_from_moments(&m, both);
    EXPECT_NEAR((double)both[0], 0, 0);
    EXPECT_NEAR((double)both[1], 2, 1e-6);
    rounds_model_from_moments(&m, a);
    EXPECT_NEAR((double)a[1], 1, 1e-6);
    rounds_model_close(&m);
}

TEST(what_is_no_model_is_refused_with_a_line)
{
    char why[128] = "";
    struct rounds_model m;
    uint8_t *bytes = calloc(1, 20);
    EXPECT(bytes != NULL);
    EXPECT_EQ(rounds_model_open(&m, bytes, 20, why, sizeof why), SH_ERR_CORRUPT);
    EXPECT(strstr(why, "no safetensors file") != NULL);
}

/* ---- combining ---- */

struct given { /* updates of a round, and in which order they are listed */
    const float (*change)[6];
    const uint32_t *order;
};

static enum sh_err load(void *ctx, uint32_t i, float *change, float *variates)
{
    const struct given *g = ctx;
    memcpy(change, g->change[g->order[i]], 6 * sizeof *change);
    if (variates != NULL) {
        memcpy(variates, g->change[g->order[i]], 6 * sizeof *variates);
    }
    return SH_OK;
}

TEST(the_mean_weighs_updates_and_does_not_depend_on_their_order)
{
    static const float change[3][6] = {
        {1, 0, 0.1f, 0, 0, 0}, {0, 1, 0.2f, 0, 0, 0}, {0, 0, 0.3f, 1, 0, 0}};
    static const uint32_t orders[2][3] = {{0, 1, 2}, {2, 0, 1}};
    const uint32_t samples[3] = {100, 300, 600};
    struct spec_federated fed = {.rule = SPEC_RULE_MEAN, .algorithm = SPEC_FEDAVG, .lr = 1};
    float out[2][6];
    for (size_t turn = 0; turn < 2; turn++) {
        uint32_t weights[3];
        struct given given = {.change = change, .order = orders[turn]};
        uint64_t ids[3] = {7, 8, 9};
        enum kn_vote_fate fates[3];
        struct rounds_updates updates = {.count = 3,
                                         .weights = weights,
                                         .ids = ids,
                                         .fates = fates,
                                         .load = load,
                                         .ctx = &given};
        for (size_t i = 0; i < 3; i++) {
            weights[i] = kn_client_weight(samples[orders[turn][i]], 0);
        }
        EXPECT_EQ(rounds_combine(&fed, &updates, 6, 3, out[turn], NULL), SH_OK);
    }
    EXPECT_MEM(out[0], out[1], sizeof out[0]);
    EXPECT_NEAR((double)out[0][0], 0.1, 1e-6);
    EXPECT_NEAR((double)out[0][1], 0.3, 1e-6);
    EXPECT_NEAR((double)out[0][2], 0.01 + 0.06 + 0.18, 1e-6);
    EXPECT_NEAR((double)out[0][3], 0.6, 1e-6);
}

TEST(variates_count_once_a_client_over_all_members)
{
    static const float change[2][6] = {{2, 0, 0, 0, 0, 0}, {4, 0, 0, 0, 0, 0}};
    static const uint32_t order[2] = {0, 1};
    const uint32_t weights[2] = {kn_client_weight(1, 0), kn_client_weight(99, 0)};
    struct spec_federated fed = {.rule = SPEC_RULE_MEAN, .algorithm = SPEC_SCAFFOLD, .lr = 1};
    struct given given = {.change = change, .order = order};
    const uint64_t ids[2] = {7, 8};
    enum kn_vote_fate fates[2];
    struct rounds_updates updates = {
        .count = 2, .weights = weights, .ids = ids, .fates = fates, .load = load, .ctx = &given};
    float out[6];
    float variates[6];
    EXPECT_EQ(rounds_combine(&fed, &updates, 6, 4, out, variates), SH_OK);
    EXPECT_NEAR((double)variates[0], 6.0 / 4, 1e-6);
    EXPECT_NEAR((double)out[0], 3.98, 1e-6);
}

/* Three agree, the fourth one lies; the rules go with the three and say so. */
static const enum spec_rule RULES[] = {SPEC_RULE_MEDIAN, SPEC_RULE_TRIMMED_MEAN, SPEC_RULE_KRUM,
                                       SPEC_RULE_MULTI_KRUM};

TEST_ROWS(rules_against_liars_go_with_the_honest, RULES)
{
    static const float change[5][6] = {{1, 1, 1, 1, 1, 1},
                                       {1.1f, 1, 1, 1, 1, 1},
                                       {0.9f, 1, 1, 1, 1, 1},
                                       {1, 1.1f, 1, 1, 1, 1},
                                       {-900, 900, -900, 900, -900, 900}};
    static const uint32_t order[5] = {0, 1, 2, 3, 4};
    const uint32_t weights[5] = {1, 1, 1, 1, 4000000};
    const uint64_t ids[5] = {4, 8, 2, 7, 5};
    enum kn_vote_fate fates[5];
    struct given given = {.change = change, .order = order};
    struct spec_federated fed = {
        .rule = RULES[tst_row], .byzantine = 1, .algorithm = SPEC_FEDAVG, .lr = 1};
    struct rounds_updates updates = {
        .count = 5, .weights = weights, .ids = ids, .fates = fates, .load = load, .ctx = &given};
    float out[6];
    EXPECT_EQ(rounds_combine(&fed, &updates, 6, 5, out, NULL), SH_OK);
    for (size_t i = 0; i < 6; i++) {
        EXPECT_NEAR((double)out[i], 1, 0.11);
    }
    bool krum = fed.rule == SPEC_RULE_KRUM || fed.rule == SPEC_RULE_MULTI_KRUM;
    EXPECT_EQ(fates[4] == KN_VOTE_OUTVOTED, krum);
    updates.count = 2;
    EXPECT_EQ(rounds_combine(&fed, &updates, 6, 5, out, NULL), SH_ERR_INVALID);
}

TEST(no_optimiser_touches_running_statistics)
{
    const float weight[4] = {0, 0, 0, 0};
    const float mean[2] = {0, 0};
    const float change[6] = {1, 1, 1, 1, 1, 1};
    struct spec_federated fed = {.rule = SPEC_RULE_MEAN,
                                 .algorithm = SPEC_FEDADAM,
                                 .lr = 0.1,
                                 .beta1 = 0.9,
                                 .beta2 = 0.99,
                                 .tau = 1e-3};
    struct rounds_model m = model(weight, mean);
    size_t count = rounds_server_count(&fed, &m);
    EXPECT_EQ(count, 12);
    float state[12];
    float x[6];
    rounds_server_begin(&fed, state, m.floats);
    rounds_model_get(&m, x);
    rounds_server_apply(&fed, &m, x, change, state);
    EXPECT_NEAR((double)x[0], 1, 0); /* the mean, as it is */
    EXPECT_NEAR((double)x[2], 0.1 * 0.1 / (0.1 + 1e-3), 1e-4);
    rounds_model_close(&m);
}

/* ---- records ---- */

TEST(a_record_names_who_took_part_and_who_did_not)
{
    struct rounds_figures f = {.samples = 100,
                               .steps = 10,
                               .train_loss = 0.5,
                               .val_loss = 5,
                               .val_correct = 8,
                               .val_total = 10};
    struct rounds_measures m;
    const struct rounds_row rows[] = {{.name = "a",
                                       .part = FED_PART_DELIVERED,
                                       .why = "",
                                       .counts = true,
                                       .weight = kn_client_weight(100, 0),
                                       .figures = &f},
                                      {.name = "b", .part = FED_PART_DROPPED, .why = ""},
                                      {.name = "c", .part = FED_PART_FAILED, .why = "no \"data\""}};
    struct rounds_record record = {.round = 4, .outcome = FED_COMMIT, .cohort = 3};
    rounds_measures_begin(&m);
    rounds_measures_add(&m, &f);
    rounds_measures_end(&m);
    char *line = rounds_record_line(&record, &m, rows, 3);
    EXPECT(line != NULL);
    EXPECT_EQ(line[strlen(line) - 1], '\n');
    json_t *back = json_loads(line, 0, NULL);
    EXPECT(back != NULL);
    EXPECT_EQ(json_integer_value(json_object_get(back, "round")), 5);
    EXPECT_EQ(json_integer_value(json_object_get(back, "updates")), 1);
    EXPECT_NEAR(json_real_value(json_object_get(back, "val_loss")), 0.5, 1e-9);
    const json_t *members = json_object_get(back, "members");
    EXPECT_STR(json_string_value(json_object_get(json_array_get(members, 1), "part")), "lost");
    EXPECT_STR(json_string_value(json_object_get(json_array_get(members, 2), "why")),
               "no \"data\"");
    EXPECT_NEAR(json_number_value(json_object_get(json_array_get(members, 0), "weight")), 100,
                1e-9);
    json_decref(back);
    free(line);
}
