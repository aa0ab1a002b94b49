/* SPDX-License-Identifier: Apache-2.0
 *
 * Commands and rows as bytes: every rule of every command at its edge, every field of every command
 * and row there and back. */
#include "jobs/row.h"
#include "jobs/tx.h"
#include "tst.h"
#include "world.h"

#include <stdio.h>

static uint8_t bytes[JOBS_CMD_BYTES_MAX];
static struct jobs_cmd cmd;
static struct jobs_cmd back;

static enum sh_err encoded(size_t *size)
{
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    enum sh_err err = jobs_cmd_encode(&cmd, &w);
    *size = w.used;
    return err;
}

static bool is_ok(void)
{
    size_t size = 0;
    enum sh_err err = encoded(&size);
    EXPECT(err == SH_OK || err == SH_ERR_INVALID);
    EXPECT((size == 0) == (err == SH_ERR_INVALID)); /* nothing is written of what is refused */
    EXPECT(err != SH_OK || jobs_cmd_decode(bytes, size, &back) == SH_OK);
    return err == SH_OK;
}

static void text(char *out, size_t size, char letter)
{
    memset(out, letter, size - 1);
    out[size - 1] = '\0';
}

static void begin(enum jobs_cmd_type type)
{
    memset(&cmd, 0, sizeof cmd);
    cmd.type = type;
    cmd.stamp_us = 0x1112131415161718;
    cmd.session = 0x2122232425262728;
    cmd.number = 0x3132333435363738;
}

static void fill_submit(struct jobs_submit *c)
{
    text(c->key, sizeof c->key, 'k');
    c->kind = WIRE_KIND_NOOP;
    text(c->name, sizeof c->name, 'n');
    text(c->owner, sizeof c->owner, 'o');
    c->spec = (struct sh_span){.at = (const uint8_t *)"{}", .size = 2};
    memset(c->spec_digest, 0x5d, sizeof c->spec_digest);
    c->need = (struct wire_need){.ranks = 16,
                                 .agents_min = 2,
                                 .agents_max = 5,
                                 .cpus = 3,
                                 .ram_bytes = UINT64_C(1) << 40,
                                 .arithmetic = WIRE_ARITHMETIC_ANY};
    text(c->need.dataset, sizeof c->need.dataset, 'd');
    c->reproducible = true;
    c->priority = 7;
    c->retries = 3;
    c->checkpoint_keep = 2;
    c->keep_results = 777;
    c->units = 300;
    c->blob_count = 2;
    memset(c->blobs, 0xb1, 2 * sizeof c->blobs[0]);
    text(c->about.model, sizeof c->about.model, 'm');
    c->about.version = 1000006;
    text(c->about.data, sizeof c->about.data, 'D');
    memset(c->about.digest, 0xd1, sizeof c->about.digest);
    c->deadline_us = 1000007;
    c->stage_count = 2;
    c->stages[1] = (struct jobs_stage){.first = 200, .after = true};
}

static void fill_outcome(struct jobs_outcome *o)
{
    memset(o->file, 0xf1, sizeof o->file);
    memset(o->model, 0xf2, sizeof o->model);
    memset(o->state, 0xf3, sizeof o->state);
    o->metrics = (struct jobs_metrics){.test_correct = 1000001,
                                       .test_total = 1000002,
                                       .val_correct = 1000003,
                                       .val_total = 1000004,
                                       .train_loss = 0.125,
                                       .val_loss = 0.75};
    o->steps = 1000005;
    o->figures.samples = 1000008;
    for (uint32_t i = 0; i < JOBS_FIGURES_MAX; i++) {
        o->figures.at[i] = 0.5 + i;
    }
    o->scored = true;
    o->score = 0.5;
}

static void fill_holders(uint8_t holders[][SH_NODE_ID_BYTES], uint32_t *count)
{
    *count = JOBS_HOLDERS_MAX;
    for (uint32_t i = 0; i < JOBS_HOLDERS_MAX; i++) {
        memset(holders[i], (int)(0x40 + i), SH_NODE_ID_BYTES);
    }
}

static void fill_place(struct jobs_place *c)
{
    c->unit = (struct wire_unit){.job = 900, .unit = 4};
    c->previous = (struct wire_fence){.term = 8, .index = 901};
    c->cause = WIRE_CAUSE_GROWN;
    memset(c->class, 0xc1, sizeof c->class);
    c->mixed = true;
    c->member_count = WIRE_MEMBERS_MAX;
    for (uint32_t i = 0; i < WIRE_MEMBERS_MAX; i++) {
        memset(c->members[i].node, (int)(0x60 + i), SH_NODE_ID_BYTES);
        c->members[i].rank_lo = (uint16_t)(i * 2);
        c->members[i].rank_hi = (uint16_t)(i * 2 + 2);
    }
}

static void fill_many(enum jobs_cmd_type type)
{
    struct jobs_place_many *p = &cmd.u.place_many;
    struct jobs_commit_many *c = &cmd.u.commit_many;
    uint32_t *units = type == JOBS_PLACE_MANY ? p->units : c->units;
    for (uint32_t i = 0; i < JOBS_MANY_MAX; i++) {
        units[i] = 3 * i + 1;
    }
    if (type == JOBS_PLACE_MANY) {
        p->job = 900;
        memset(p->class, 0xc1, sizeof p->class);
        p->node_count = WIRE_MEMBERS_MAX;
        p->count = JOBS_MANY_MAX;
        for (uint32_t i = 0; i < WIRE_MEMBERS_MAX; i++) {
            memset(p->nodes[i], (int)(0x60 + i), SH_NODE_ID_BYTES);
        }
        for (uint32_t i = 0; i < JOBS_MANY_MAX; i++) {
            p->at[i] = (uint8_t)(i % WIRE_MEMBERS_MAX);
        }
    } else {
        c->job = 900;
        c->fence = (struct wire_fence){.term = 8, .index = 901};
        c->count = JOBS_MANY_MAX;
    }
}

static void fill_of_unit(enum jobs_cmd_type type)
{
    struct wire_unit unit = {.job = 900, .unit = 4};
    struct wire_fence fence = {.term = 8, .index = 901};
    if (type == JOBS_PLACE) {
        fill_place(&cmd.u.place);
    } else if (type == JOBS_CHECKPOINT) {
        cmd.u.checkpoint = (struct jobs_checkpoint_add){
            .unit = unit, .fence = fence, .step = 77, .cost_us = 78000};
        memset(cmd.u.checkpoint.manifest, 0x78, SH_DIGEST_BYTES);
        fill_holders(cmd.u.checkpoint.holders, &cmd.u.checkpoint.holder_count);
    } else if (type == JOBS_COMMIT) {
        cmd.u.commit.unit = unit;
        cmd.u.commit.fence = fence;
        cmd.u.commit.partial = true;
        fill_outcome(&cmd.u.commit.outcome);
        fill_holders(cmd.u.commit.holders, &cmd.u.commit.holder_count);
    } else if (type == JOBS_FAIL) {
        cmd.u.fail.unit = unit;
        cmd.u.fail.fence = fence;
        cmd.u.fail.reason = SH_ERR_DIVERGED;
        cmd.u.fail.final = true;
        text(cmd.u.fail.text, sizeof cmd.u.fail.text, 't');
        memset(cmd.u.fail.node, 0x7d, SH_NODE_ID_BYTES);
    } else if (type == JOBS_PROGRESS) {
        cmd.u.progress = (struct jobs_progress){.unit = unit, .fence = fence, .permille = 903};
    } else if (type == JOBS_EXPIRE) {
        cmd.u.expire = (struct jobs_expire){
            .unit = unit, .fence = fence, .cause = WIRE_CAUSE_TOO_FEW_AGENTS, .grace_us = 902};
    }
}

static void fill_of_job(enum jobs_cmd_type type)
{
    if (type == JOBS_STOP) {
        cmd.u.stop.job = 79;
    } else if (type == JOBS_PAUSE) {
        cmd.u.pause = (struct jobs_pause){.job = 80, .grace_us = 81};
    } else if (type == JOBS_RESUME) {
        cmd.u.resume.job = 82;
    } else if (type == JOBS_RESIZE) {
        cmd.u.resize = (struct jobs_resize){
            .job = 83, .has_units = true, .units = 84, .has_priority = true, .priority = 85};
    } else if (type == JOBS_DEADLINE) {
        cmd.u.deadline.job = 80;
    } else if (type == JOBS_JOB_REMOVE) {
        cmd.u.job_remove.job = 81;
    }
}

/* A command of a type with every field set, and no field like another. */
static void fill(enum jobs_cmd_type type)
{
    begin(type);
    fill_of_unit(type);
    fill_of_job(type);
    if (type == JOBS_NODE_ADMIT) {
        struct jobs_node_admit *c = &cmd.u.node_admit;
        memset(c->node, 0x71, sizeof c->node);
        c->handle = 72;
        text(c->name, sizeof c->name, 'n');
        memcpy(c->addr, "a.example:7711", 15);
        memcpy(c->api, "b.example:8711", 15);
        c->bulk_port = 7712;
    } else if (type == JOBS_NODE_REMOVE) {
        memset(cmd.u.node_remove.node, 0x71, SH_NODE_ID_BYTES);
    } else if (type == JOBS_SUBMIT) {
        fill_submit(&cmd.u.submit);
    } else if (type == JOBS_DATASET_ADD) {
        struct jobs_dataset_add *c = &cmd.u.dataset_add;
        text(c->name, sizeof c->name, 'n');
        memset(c->digest, 0x7a, sizeof c->digest);
        memset(c->node, 0x7b, sizeof c->node);
        text(c->path, sizeof c->path, 'p');
        text(c->summary, sizeof c->summary, 's');
        c->local = true;
    } else if (type == JOBS_DATASET_REMOVE) {
        text(cmd.u.dataset_remove.name, sizeof cmd.u.dataset_remove.name, 'n');
        memset(cmd.u.dataset_remove.node, 0x7b, SH_NODE_ID_BYTES);
    } else if (type == JOBS_SESSION_OPEN) {
        cmd.session = 0;
        memset(cmd.u.session_open.node, 0x7c, SH_NODE_ID_BYTES);
        cmd.u.session_open.life = 0x4142434445464748;
    } else if (type == JOBS_CONFIG_SET) {
        cmd.u.config_set.count = JOBS_SETTINGS_MAX;
        for (uint32_t i = 0; i < JOBS_SETTINGS_MAX; i++) {
            struct jobs_config_change *c = &cmd.u.config_set.at[i];
            text(c->key, sizeof c->key, 'q');
            c->unset = i % 2 == 0;
            c->value = 0x5152535455565758 + i;
        }
    } else if (type == JOBS_NODE_MARK) {
        memset(cmd.u.node_mark.node, 0x7e, SH_NODE_ID_BYTES);
        cmd.u.node_mark.mark = JOBS_MARK_UNFIT;
    } else if (type == JOBS_PLACE_MANY || type == JOBS_COMMIT_MANY) {
        fill_many(type);
    } else if (type == JOBS_MODEL_REMOVE) {
        text(cmd.u.model_remove.name, sizeof cmd.u.model_remove.name, 'n');
        cmd.u.model_remove.version = 80;
    }
}

static const int types[JOBS_CMD_TYPE_COUNT];

TEST_ROWS(a_command_comes_back_whole_and_a_cut_one_is_corrupt, types)
{
    size_t size = 0;
    fill((enum jobs_cmd_type)tst_row);
    if (tst_row == 0) {
        EXPECT_EQ(encoded(&size), SH_ERR_INVALID); /* is none */
        return;
    }
    EXPECT_EQ(encoded(&size), SH_OK);
    EXPECT_EQ(jobs_cmd_decode(bytes, size, &back), SH_OK);
    if (tst_row == JOBS_SUBMIT) { /* it borrows the bytes */
        EXPECT_EQ(back.u.submit.spec.size, 2);
        EXPECT_MEM(back.u.submit.spec.at, "{}", 2);
        back.u.submit.spec.at = cmd.u.submit.spec.at;
    }
    EXPECT_MEM(&back, &cmd, sizeof cmd);
    for (size_t cut = 0; cut < size; cut++) {
        EXPECT_EQ(jobs_cmd_decode(bytes, cut, &back), SH_ERR_CORRUPT);
    }
    struct sh_writer narrow = sh_writer_over(bytes, size - 1);
    EXPECT_EQ(jobs_cmd_encode(&cmd, &narrow), SH_ERR_LIMIT);
    EXPECT_EQ(jobs_cmd_decode(bytes, size, &back), SH_OK);
    bytes[size] = 0xee; /* a field of a later program */
    EXPECT_EQ(jobs_cmd_decode(bytes, size + 1, &back), SH_OK);
}

TEST(a_submit_keeps_to_its_limits)
{
    fill(JOBS_SUBMIT);
    struct jobs_submit good = cmd.u.submit;
    EXPECT(is_ok());
    static const struct {
        uint8_t priority;
        uint8_t retries;
        uint8_t keep;
        uint32_t units;
        uint32_t blobs;
        bool ok;
    } rows[] = {
        {JOBS_PRIORITY_MAX, JOBS_RETRIES_MAX, JOBS_KEEP_MAX, JOBS_UNITS_MAX, JOBS_BLOBS_MAX, true},
        {0, 0, 1, 1, 0, true},
        {JOBS_PRIORITY_MAX + 1, 0, 1, 1, 0, false},
        {0, JOBS_RETRIES_MAX + 1, 1, 1, 0, false},
        {0, 0, 0, 1, 0, false},
        {0, 0, JOBS_KEEP_MAX + 1, 1, 0, false},
        {0, 0, 1, 0, 0, false},
        {0, 0, 1, JOBS_UNITS_MAX + 1, 0, false},
        {0, 0, 1, 1, JOBS_BLOBS_MAX + 1, false}};
    for (uint32_t i = 0; i < SH_COUNT(rows); i++) {
        struct jobs_submit *c = &cmd.u.submit;
        *c = good;
        c->priority = rows[i].priority;
        c->retries = rows[i].retries;
        c->checkpoint_keep = rows[i].keep;
        c->units = rows[i].units;
        c->blob_count = rows[i].blobs;
        c->stage_count = rows[i].units > 200 ? 2 : 1;
        EXPECT_EQ(is_ok(), rows[i].ok);
    }
    static uint8_t spec[SH_SPEC_BYTES_MAX + 1];
    for (uint32_t i = 0; i < 12; i++) {
        cmd.u.submit = good;
        cmd.u.submit.kind = i == 2 ? WIRE_KIND_TRAIN : WIRE_KIND_NOOP;
        cmd.u.submit.units = 201;
        cmd.u.submit.stages[1].first = i == 1 ? 201 : 200; /* a stage without a unit */
        size_t size = i == 3 ? 0 : i == 4 ? SH_SPEC_BYTES_MAX + 1 : SH_SPEC_BYTES_MAX;
        cmd.u.submit.spec = (struct sh_span){.at = spec, .size = size};
        cmd.u.submit.name[0] = i == 5 ? '\0' : 'n';
        cmd.u.submit.need.agents_min = i == 6 ? 0 : 1;
        cmd.u.submit.kind = i == 7 ? (enum wire_kind)99 : cmd.u.submit.kind;
        cmd.u.submit.about.version = i == 8 ? 0 : 1; /* a model has one */
        cmd.u.submit.about.model[0] = i == 9 ? '/' : 'm';
        cmd.u.submit.dataset[0] = i == 10 ? 'd' : '\0'; /* of data preparation only */
        cmd.u.submit.kind = i == 11 ? WIRE_KIND_DATA_PREP : cmd.u.submit.kind;
        EXPECT_EQ(is_ok(), i == 0 || i == 2);
    }
}

TEST(a_submit_of_a_later_kind_or_with_too_many_blobs_is_told_apart)
{
    fill(JOBS_SUBMIT);
    size_t size = 0;
    EXPECT_EQ(encoded(&size), SH_OK);
    size_t kind = 26 + 1 + JOBS_KEY_MAX;
    size_t behind =
        2 + (1 + SH_NAME_MAX) + 4 + (1 + SH_NAME_MAX) + SH_DIGEST_BYTES + 8 + 1 + 1 + 2 * 5;
    size_t blobs = size - behind - 2 * SH_DIGEST_BYTES - 1;
    EXPECT_EQ(bytes[kind], WIRE_KIND_NOOP);
    EXPECT_EQ(bytes[blobs], 2);
    bytes[kind] = 99;
    EXPECT_EQ(jobs_cmd_decode(bytes, size, &back), SH_ERR_VERSION);
    EXPECT_EQ(jobs_cmd_decode(bytes, size - 1, &back), SH_ERR_CORRUPT); /* damaged comes first */
    bytes[kind] = WIRE_KIND_NOOP;
    bytes[blobs] = JOBS_BLOBS_MAX + 1;
    EXPECT_EQ(jobs_cmd_decode(bytes, size + 20 * SH_DIGEST_BYTES, &back), SH_ERR_CORRUPT);
    EXPECT_EQ(back.u.submit.blob_count, 0);
}

TEST(settings_and_marks_keep_to_their_limits)
{
    fill(JOBS_CONFIG_SET);
    EXPECT(is_ok());
    cmd.u.config_set.at[3].key[0] = '\0';
    EXPECT(!is_ok());
    cmd.u.config_set.count = 0;
    EXPECT(!is_ok());
    fill(JOBS_NODE_MARK);
    cmd.u.node_mark.mark = (enum jobs_mark)0;
    EXPECT(!is_ok());
    cmd.u.node_mark.mark = JOBS_MARK_COUNT;
    EXPECT(!is_ok());
    fill(JOBS_CONFIG_SET);
    size_t size = 0;
    EXPECT_EQ(encoded(&size), SH_OK);
    bytes[26] = JOBS_SETTINGS_MAX + 1;
    EXPECT_EQ(jobs_cmd_decode(bytes, size, &back), SH_ERR_CORRUPT);
}

TEST(holders_beyond_those_there_is_room_for_are_damage_and_none)
{
    static const enum jobs_cmd_type held[] = {JOBS_CHECKPOINT, JOBS_COMMIT};
    for (uint32_t i = 0; i < SH_COUNT(held); i++) {
        fill(held[i]);
        size_t size = 0;
        EXPECT_EQ(encoded(&size), SH_OK);
        size_t count = size - (i == 0 ? 8 : 0) - JOBS_HOLDERS_MAX * SH_NODE_ID_BYTES - 1;
        EXPECT_EQ(bytes[count], JOBS_HOLDERS_MAX);
        bytes[count]++;
        EXPECT_EQ(jobs_cmd_decode(bytes, sizeof bytes, &back), SH_ERR_CORRUPT);
        EXPECT_EQ(i == 0 ? back.u.checkpoint.holder_count : back.u.commit.holder_count, 0);
    }
}

TEST(what_concerns_a_unit_names_it_and_keeps_to_its_limits)
{
    static const enum jobs_cmd_type of_units[] = {JOBS_PLACE, JOBS_CHECKPOINT, JOBS_COMMIT,
                                                  JOBS_FAIL, JOBS_EXPIRE};
    for (uint32_t i = 0; i < SH_COUNT(of_units); i++) {
        fill(of_units[i]);
        EXPECT(is_ok());
        struct wire_unit *units[] = {&cmd.u.place.unit, &cmd.u.checkpoint.unit, &cmd.u.commit.unit,
                                     &cmd.u.fail.unit, &cmd.u.expire.unit};
        units[i]->job = 0;
        EXPECT(!is_ok());
    }
    fill(JOBS_STOP);
    cmd.u.stop.job = 0;
    EXPECT(!is_ok());
    fill(JOBS_PAUSE);
    cmd.u.pause.job = 0;
    EXPECT(!is_ok());
    fill(JOBS_RESUME);
    cmd.u.resume.job = 0;
    EXPECT(!is_ok());
    fill(JOBS_DEADLINE);
    cmd.u.deadline.job = 0;
    EXPECT(!is_ok());
    fill(JOBS_FAIL);
    cmd.u.fail.reason = SH_OK;
    EXPECT(!is_ok());
    fill(JOBS_PLACE);
    cmd.u.place.member_count = 1;
    EXPECT(is_ok());
    cmd.u.place.members[0].rank_hi = cmd.u.place.members[0].rank_lo; /* nothing to do */
    EXPECT(!is_ok());
    cmd.u.place.member_count = 0;
    EXPECT(!is_ok());
    fill(JOBS_PLACE);
    cmd.u.place.members[WIRE_MEMBERS_MAX - 1].rank_lo = 99;
    EXPECT(!is_ok());
    cmd.u.place.member_count = WIRE_MEMBERS_MAX + 1;
    EXPECT(!is_ok());
    fill(JOBS_CHECKPOINT);
    cmd.u.checkpoint.holder_count++;
    EXPECT(!is_ok());
    fill(JOBS_COMMIT);
    cmd.u.commit.holder_count++;
    EXPECT(!is_ok());
}

TEST(many_units_are_in_order_and_each_has_an_agent)
{
    static const enum jobs_cmd_type many[] = {JOBS_PLACE_MANY, JOBS_COMMIT_MANY};
    for (uint32_t i = 0; i < SH_COUNT(many); i++) {
        fill(many[i]);
        uint32_t *count = i == 0 ? &cmd.u.place_many.count : &cmd.u.commit_many.count;
        uint32_t *units = i == 0 ? cmd.u.place_many.units : cmd.u.commit_many.units;
        size_t size = 0;
        EXPECT_EQ(encoded(&size), SH_OK);
        size_t at = size - (i == 0 ? 5u : 4u) * JOBS_MANY_MAX - 2;
        EXPECT_EQ(bytes[at] | bytes[at + 1] << 8, JOBS_MANY_MAX);
        bytes[at]++;
        EXPECT_EQ(jobs_cmd_decode(bytes, sizeof bytes, &back), SH_ERR_CORRUPT);
        EXPECT_EQ(i == 0 ? back.u.place_many.count : back.u.commit_many.count, 0);
        *count = 0;
        EXPECT(!is_ok());
        *count = JOBS_MANY_MAX + 1;
        EXPECT(!is_ok());
        *count = 2;
        EXPECT(is_ok());
        units[1] = units[0];
        EXPECT(!is_ok());
        fill(many[i]);
        *(i == 0 ? &cmd.u.place_many.job : &cmd.u.commit_many.job) = 0;
        EXPECT(!is_ok());
    }
    fill(JOBS_PLACE_MANY);
    size_t size = 0;
    EXPECT_EQ(encoded(&size), SH_OK);
    bytes[26 + 8 + WIRE_CLASS_BYTES] = WIRE_MEMBERS_MAX + 1;
    EXPECT_EQ(jobs_cmd_decode(bytes, sizeof bytes, &back), SH_ERR_CORRUPT);
    EXPECT_EQ(back.u.place_many.node_count, 0);
    cmd.u.place_many.at[7] = WIRE_MEMBERS_MAX;
    EXPECT(!is_ok());
    fill(JOBS_PLACE_MANY);
    cmd.u.place_many.node_count++;
    EXPECT(!is_ok());
}

TEST(a_change_of_a_job_keeps_to_the_limits_of_what_it_changes)
{
    static const struct {
        struct jobs_resize c;
        bool ok;
    } rows[] = {{{.job = 1, .has_units = true, .units = 1}, true},
                {{.job = 1, .has_units = true, .units = JOBS_UNITS_MAX}, true},
                {{.job = 1, .has_priority = true, .priority = JOBS_PRIORITY_MAX}, true},
                {{.job = 1, .has_priority = true, .priority = 0}, true},
                {{.job = 0, .has_units = true, .units = 1}, false},
                {{.job = 1}, false},
                {{.job = 1, .has_units = true, .units = 0}, false},
                {{.job = 1, .has_units = true, .units = JOBS_UNITS_MAX + 1}, false},
                {{.job = 1, .has_priority = true, .priority = JOBS_PRIORITY_MAX + 1}, false}};
    for (uint32_t i = 0; i < SH_COUNT(rows); i++) {
        begin(JOBS_RESIZE);
        cmd.u.resize = rows[i].c;
        EXPECT_EQ(is_ok(), rows[i].ok);
    }
}

TEST(names_addresses_and_numbers_of_a_command_are_judged)
{
    fill(JOBS_NODE_ADMIT);
    cmd.u.node_admit.api[0] = '\0'; /* has none */
    EXPECT(is_ok());
    cmd.u.node_admit.api[0] = ' ';
    EXPECT(!is_ok());
    fill(JOBS_NODE_ADMIT);
    cmd.u.node_admit.addr[0] = '\0';
    EXPECT(!is_ok());
    fill(JOBS_NODE_ADMIT);
    cmd.u.node_admit.name[0] = ' ';
    EXPECT(!is_ok());
    fill(JOBS_DATASET_ADD);
    cmd.u.dataset_add.name[0] = '\0';
    EXPECT(!is_ok());
    fill(JOBS_DATASET_REMOVE);
    cmd.u.dataset_remove.name[0] = '\0';
    EXPECT(!is_ok());
    fill(JOBS_STOP);
    cmd.number = 0; /* a command of a session has one */
    EXPECT(!is_ok());
    cmd.session = 0;
    EXPECT(is_ok());
    fill(JOBS_SESSION_OPEN);
    cmd.session = 1; /* a session is opened outside of any */
    EXPECT(!is_ok());
    fill(JOBS_SESSION_KEEP);
    cmd.number = 0;
    EXPECT(is_ok());
    cmd.session = 0;
    EXPECT(!is_ok());
    cmd.number = 1;
    EXPECT(!is_ok());
    begin((enum jobs_cmd_type)0);
    EXPECT(!is_ok());
    begin(JOBS_CMD_TYPE_COUNT);
    EXPECT(!is_ok());
}

TEST(the_head_of_a_command_tells_damage_from_a_later_version)
{
    fill(JOBS_STOP);
    size_t size = 0;
    EXPECT_EQ(encoded(&size), SH_OK);
    static const struct {
        uint8_t encoding;
        uint8_t type;
        enum sh_err err;
    } rows[] = {{1, JOBS_STOP, SH_OK},          {0, JOBS_STOP, SH_ERR_CORRUPT},
                {2, JOBS_STOP, SH_ERR_VERSION}, {1, 0, SH_ERR_CORRUPT},
                {2, 0, SH_ERR_CORRUPT},         {1, JOBS_CMD_TYPE_COUNT, SH_ERR_VERSION},
                {1, 255, SH_ERR_VERSION}};
    for (uint32_t i = 0; i < SH_COUNT(rows); i++) {
        bytes[0] = rows[i].encoding;
        bytes[1] = rows[i].type;
        EXPECT_EQ(jobs_cmd_decode(bytes, size, &back), rows[i].err);
    }
}

TEST(stamp_and_session_are_written_into_the_head_and_nowhere_else)
{
    uint8_t head[27];
    memset(head, 0x11, sizeof head);
    EXPECT(!jobs_cmd_stamp(head, 25, 1));
    EXPECT(!jobs_cmd_sign(head, 25, 1, 2));
    for (size_t i = 0; i < sizeof head; i++) {
        EXPECT_EQ(head[i], 0x11);
    }
    EXPECT(jobs_cmd_stamp(head, 26, UINT64_MAX));
    for (size_t i = 0; i < sizeof head; i++) {
        EXPECT_EQ(head[i], i >= 2 && i < 10 ? 0xff : 0x11);
    }
    EXPECT(jobs_cmd_sign(head, 26, 0, UINT64_MAX));
    for (size_t i = 10; i < sizeof head; i++) {
        EXPECT_EQ(head[i], i < 18 ? 0 : i < 26 ? 0xff : 0x11);
    }
}

static struct jobs_job full_job(void)
{
    fill(JOBS_SUBMIT);
    struct jobs_job job;
    jobs_job_begin(&cmd.u.submit, 1001, 1002, &job);
    job.state = JOBS_FAILED;
    job.cause = WIRE_CAUSE_FAILED;
    job.mixed = true;
    job.pinned = true;
    memset(job.class, 0xc2, sizeof job.class);
    job.start_us = 1003;
    job.end_us = 1004;
    for (uint32_t i = 0; i < JOBS_UNIT_STATE_COUNT; i++) {
        job.units_in[i] = 1010 + i;
    }
    job.target = 1007;
    job.paused = true;
    job.event_next = 1005;
    job.fail_unit = 1006;
    job.fail_reason = SH_ERR_DIVERGED;
    text(job.fail_text, sizeof job.fail_text, 'f');
    return job;
}

static struct jobs_unit full_unit(void)
{
    fill(JOBS_PLACE);
    const struct jobs_place *c = &cmd.u.place;
    struct jobs_unit unit = {.id = c->unit,
                             .state = JOBS_STOPPED,
                             .yield = {.cause = WIRE_CAUSE_PREEMPTED, .until_us = 2009},
                             .placed_us = 2001,
                             .since_us = 2002,
                             .placements = 2003,
                             .failures = 2004,
                             .checkpoints = 2005,
                             .checkpoint_step = 2006,
                             .fail_reason = SH_ERR_DIVERGED,
                             .committed = true,
                             .partial = true,
                             .model_version = 2007};
    unit.placement = (struct wire_placement){
        .fence = c->previous, .mixed = true, .member_count = c->member_count};
    memcpy(unit.placement.class, c->class, sizeof c->class);
    memcpy(unit.placement.members, c->members, sizeof c->members);
    fill_outcome(&unit.outcome);
    return unit;
}

/* Decodes what was encoded, encodes that, and wants the same bytes; every shorter row is damaged,
 * and one of another version too. */
#define EXPECT_ROW(type, name, value)                                                              \
    do {                                                                                           \
        static uint8_t first[JOBS_ROW_BYTES_MAX];                                                  \
        static uint8_t second[JOBS_ROW_BYTES_MAX];                                                 \
        struct type row = (value);                                                                 \
        struct sh_span one = jobs_row_put_##name(first, &row);                                     \
        struct type got;                                                                           \
        EXPECT_EQ(jobs_row_get_##name(one, &got), SH_OK);                                          \
        struct sh_span two = jobs_row_put_##name(second, &got);                                    \
        EXPECT_EQ(two.size, one.size);                                                             \
        EXPECT_MEM(two.at, one.at, one.size);                                                      \
        for (size_t cut = 0; cut < one.size; cut++) {                                              \
            EXPECT_EQ(jobs_row_get_##name((struct sh_span){first, cut}, &got), SH_ERR_CORRUPT);    \
        }                                                                                          \
        first[0]++;                                                                                \
        EXPECT_EQ(jobs_row_get_##name(one, &got), SH_ERR_CORRUPT);                                 \
    } while (0)

TEST(every_row_of_jobs_comes_back_whole)
{
    EXPECT_ROW(jobs_job, job, full_job());
    EXPECT_ROW(jobs_unit, unit, full_unit());
    struct jobs_job never_placed = full_job();
    never_placed.pinned = false;
    memset(never_placed.class, 0, sizeof never_placed.class);
    EXPECT_ROW(jobs_job, job, never_placed);
    struct jobs_unit open = full_unit();
    open.committed = false;
    open.partial = false;
    EXPECT_ROW(jobs_unit, unit, open);
    struct jobs_event event = {.seq = 1,
                               .unit = JOBS_EVENT_ALL_UNITS,
                               .stamp_us = 2,
                               .index = 3,
                               .cause = WIRE_CAUSE_RETRIED,
                               .unit_state = JOBS_STOPPING,
                               .job_state = JOBS_FAILED,
                               .reason = SH_ERR_DIVERGED,
                               .node_count = 2};
    text(event.text, sizeof event.text, 'e');
    memset(event.nodes[0], 0x91, SH_NODE_ID_BYTES);
    memset(event.nodes[1], 0x9a, SH_NODE_ID_BYTES);
    EXPECT_ROW(jobs_event, event, event);
    struct jobs_change change = {.index = 1,
                                 .job = 2,
                                 .seq = 3,
                                 .unit = 4,
                                 .stamp_us = 5,
                                 .cause = WIRE_CAUSE_GROWN,
                                 .unit_state = JOBS_RUNNING,
                                 .job_state = JOBS_STOPPING,
                                 .reason = SH_ERR_DIVERGED,
                                 .units_in = {6, 7, 8, 9, 10, 11}};
    EXPECT_ROW(jobs_change, change, change);
    struct jobs_checkpoint checkpoint = {.fence = {1, 2}, .step = 3, .index = 4, .stamp_us = 5};
    memset(checkpoint.manifest, 0x92, sizeof checkpoint.manifest);
    fill_holders(checkpoint.holders, &checkpoint.holder_count);
    EXPECT_ROW(jobs_checkpoint, checkpoint, checkpoint);
}

TEST(every_row_of_what_jobs_use_and_leave_comes_back_whole)
{
    struct jobs_counts counts = {.applied = 1,
                                 .applied_term = 2,
                                 .stamp_us = 3,
                                 .digest = 4,
                                 .handle_last = 5,
                                 .nodes = 6,
                                 .jobs = 7,
                                 .jobs_in = {8, 9, 10, 11, 12, 13, 18, 19},
                                 .open_units = 14,
                                 .models = 15,
                                 .datasets = 16,
                                 .sessions = 17,
                                 .reopened = 20};
    EXPECT_ROW(jobs_counts, meta, counts);
    struct jobs_model model = {.version = 1,
                               .unit = {2, 3},
                               .reproducible = true,
                               .mixed = true,
                               .partial = true,
                               .created_us = 4};
    text(model.name, sizeof model.name, 'm');
    memset(model.spec_digest, 0x93, sizeof model.spec_digest);
    memset(model.class, 0x94, sizeof model.class);
    fill_outcome(&model.outcome);
    fill_holders(model.holders, &model.holder_count);
    EXPECT_ROW(jobs_model, model, model);
    struct jobs_node node = {.handle = 1, .bulk_port = 2, .admitted_us = 3};
    memset(node.id, 0x95, sizeof node.id);
    text(node.name, sizeof node.name, 'n');
    text(node.addr, sizeof node.addr, 'a');
    text(node.api, sizeof node.api, 'b');
    EXPECT_ROW(jobs_node, node, node);
    struct jobs_dataset set = {.holders = 1, .created_us = 2, .local = true};
    text(set.name, sizeof set.name, 'd');
    memset(set.digest, 0x96, sizeof set.digest);
    text(set.summary, sizeof set.summary, 's');
    EXPECT_ROW(jobs_dataset, dataset, set);
    struct jobs_dataset_holder holder = {.added_us = 1};
    memset(holder.node, 0x97, sizeof holder.node);
    text(holder.path, sizeof holder.path, 'p');
    EXPECT_ROW(jobs_dataset_holder, holder, holder);
    struct jobs_row_idem idem = {.job = 1};
    memset(idem.spec_digest, 0x98, sizeof idem.spec_digest);
    EXPECT_ROW(jobs_row_idem, idem, idem);
    struct jobs_row_waiting waiting = {.placed = true, .since_us = 1};
    EXPECT_ROW(jobs_row_waiting, waiting, waiting);
    struct jobs_session session = {.id = 1, .life = 2, .used_us = 3};
    memset(session.node, 0x99, sizeof session.node);
    EXPECT_ROW(jobs_session, session, session);
    struct jobs_reply reply = {.number = 1,
                               .code = JOBS_CODE_NUMBER_OLD,
                               .duplicate = true,
                               .unit = {2, 3},
                               .fence = {4, 5},
                               .handle = 6,
                               .model_version = 7};
    EXPECT_ROW(jobs_reply, reply, reply);
}

TEST(a_row_with_a_state_or_code_that_is_none_is_damaged)
{
    static uint8_t row[JOBS_ROW_BYTES_MAX];
    struct jobs_unit unit = full_unit();
    struct sh_span span = jobs_row_put_unit(row, &unit);
    EXPECT_EQ(row[13], JOBS_STOPPED);
    row[13] = JOBS_UNIT_STATE_COUNT;
    EXPECT_EQ(jobs_row_get_unit(span, &unit), SH_ERR_CORRUPT);
    struct jobs_reply reply = {.number = 1, .code = (enum jobs_code)(JOBS_CODE_COUNT - 1)};
    span = jobs_row_put_reply(row, &reply);
    EXPECT_EQ(jobs_row_get_reply(span, &reply), SH_OK);
    row[9]++;
    EXPECT_EQ(jobs_row_get_reply(span, &reply), SH_ERR_CORRUPT);
    struct jobs_job job = full_job();
    span = jobs_row_put_job(row, &job);
    row[9] = JOBS_STATE_COUNT;
    EXPECT_EQ(jobs_row_get_job(span, &job), SH_ERR_CORRUPT);
}
