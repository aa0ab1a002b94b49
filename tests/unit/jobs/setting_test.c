/* SPDX-License-Identifier: Apache-2.0
 *
 * Settings of the cluster, what owners used, agents that are drained. */
#include "jobs/config.h"
#include "tst.h"
#include "world.h"

#include <stdio.h>

#define SECOND UINT64_C(1000000)
#define DAY    (UINT64_C(86400) * SECOND)

static struct world w;

static void open_world(void)
{
    world_init(&w);
    w.now_us = UINT64_C(1000000) * SECOND;
    EXPECT_EQ(world_admit(&w, 1, "a"), SH_OK);
    EXPECT_EQ(world_admit(&w, 2, "b"), SH_OK);
}

static uint64_t value_of(const char *key)
{
    uint64_t value = 0;
    enum sh_err err = jobs_setting_get(w.t, key, &value);
    EXPECT(err == SH_OK || err == SH_ERR_NOT_FOUND);
    return err == SH_OK ? value : UINT64_MAX;
}

TEST(a_setting_is_there_until_it_is_unset)
{
    struct jobs_setting list[4];
    uint32_t count = 0;
    open_world();
    EXPECT_EQ(value_of("reserve"), UINT64_MAX);
    EXPECT_EQ(world_set(&w, "reserve", false, 340), SH_OK);
    EXPECT_EQ(world_set(&w, "quota.ada", false, 3), SH_OK);
    EXPECT_EQ(world_set(&w, "quota.ada", false, 4), SH_OK);
    jobs_check(w.core, w.t);
    EXPECT_EQ(value_of("reserve"), 340);
    EXPECT_EQ(value_of("quota.ada"), 4);
    EXPECT_EQ(jobs_setting_list(w.t, "", list, SH_COUNT(list), &count), SH_OK);
    EXPECT_EQ(count, 2);
    EXPECT_STR(list[0].key, "quota.ada");
    EXPECT_EQ(list[0].value, 4);
    EXPECT_STR(list[1].key, "reserve");
    EXPECT_EQ(jobs_setting_list(w.t, "quota.ada", list, 1, &count), SH_OK);
    EXPECT_STR(list[0].key, "reserve");
    EXPECT_EQ(world_set(&w, "quota.ada", true, 0), SH_OK);
    EXPECT_EQ(world_set(&w, "quota.ada", true, 0), SH_OK); /* it is not set, as asked */
    EXPECT_EQ(value_of("quota.ada"), UINT64_MAX);
    jobs_check(w.core, w.t);
    world_free(&w);
}

static const struct {
    const char *key;
    uint64_t value;
    bool ok;
} values[] = {
    {"reserve", 0, true},    {"reserve", 1000, true}, {"reserve", 1001, false},
    {"quota.ada", 1, true},  {"quota.ada", 0, false}, {"quota.ada", JOBS_OPEN_MAX, true},
    {"quota.", 1, false},    {"quota", 1, false},     {"quota.ada", JOBS_OPEN_MAX + 1, false},
    {"quota.a b", 1, false}, {"speed", 1, false},     {"reserve.x", 1, false},
};

TEST_ROWS(a_key_that_is_none_or_a_value_out_of_range_is_refused, values)
{
    open_world();
    enum sh_err err = world_set(&w, values[tst_row].key, false, values[tst_row].value);
    EXPECT_EQ(err, values[tst_row].ok ? SH_OK : SH_ERR_INVALID);
    EXPECT_EQ(w.result.code, values[tst_row].ok ? JOBS_CODE_NONE : JOBS_CODE_BAD_SETTING);
    EXPECT_EQ(value_of(values[tst_row].key),
              values[tst_row].ok ? values[tst_row].value : UINT64_MAX);
    jobs_check(w.core, w.t);
    world_free(&w);
}

TEST(of_several_changes_all_are_made_or_none)
{
    open_world();
    memset(&w.cmd, 0, sizeof w.cmd);
    w.cmd.type = JOBS_CONFIG_SET;
    struct jobs_config_set *c = &w.cmd.u.config_set;
    c->count = 3;
    (void)snprintf(c->at[0].key, sizeof c->at[0].key, "reserve");
    c->at[0].value = 100;
    (void)snprintf(c->at[1].key, sizeof c->at[1].key, "quota.x");
    c->at[1].value = 7;
    (void)snprintf(c->at[2].key, sizeof c->at[2].key, "quota.y");
    EXPECT_EQ(world_apply(&w), SH_ERR_INVALID);
    EXPECT_EQ(value_of("reserve"), UINT64_MAX);
    (void)snprintf(c->at[2].key, sizeof c->at[2].key, "quota.x"); /* and not after all */
    c->at[2].unset = true;
    EXPECT_EQ(world_apply(&w), SH_OK);
    EXPECT_EQ(value_of("reserve"), 100);
    EXPECT_EQ(value_of("quota.x"), UINT64_MAX);
    jobs_check(w.core, w.t);
    world_free(&w);
}

TEST(only_so_many_settings_are_set)
{
    char key[32];
    open_world();
    for (uint32_t i = 0; i < JOBS_CONFIG_MAX; i++) {
        (void)snprintf(key, sizeof key, "quota.u%u", i);
        EXPECT_EQ(world_set(&w, key, false, 1), SH_OK);
    }
    EXPECT_EQ(world_set(&w, "reserve", false, 1), SH_ERR_FULL);
    EXPECT_EQ(w.result.code, JOBS_CODE_SETTINGS_FULL);
    EXPECT_EQ(world_set(&w, "quota.u7", false, 2), SH_OK); /* no more than before */
    EXPECT_EQ(world_set(&w, "quota.u7", true, 0), SH_OK);
    EXPECT_EQ(world_set(&w, "reserve", false, 1), SH_OK);
    jobs_check(w.core, w.t);
    world_free(&w);
}

static struct jobs_owner owner_of(const char *name)
{
    struct jobs_owner owner;
    EXPECT_EQ(jobs_owner_get(w.t, name, w.now_us, &owner), SH_OK);
    return owner;
}

static struct wire_unit submit(const char *owner, uint16_t cpus, uint8_t gpus)
{
    struct jobs_submit *c = world_submit(&w, "job");
    (void)snprintf(c->owner, sizeof c->owner, "%s", owner);
    c->need.cpus = cpus;
    c->need.gpus = gpus;
    c->retries = 9;
    EXPECT_EQ(world_apply(&w), SH_OK);
    return w.result.unit;
}

TEST(an_owner_is_charged_for_cores_and_time_of_each_gang)
{
    open_world();
    struct wire_unit unit = submit("ada", 4, 0);
    EXPECT_EQ(world_place(&w, unit, 1, 2), SH_OK);
    EXPECT_EQ(owner_of("ada").core_ms, 0);
    w.now_us += 10 * SECOND;
    EXPECT_EQ(world_place(&w, unit, 1, 1), SH_OK); /* another gang: the first one ends */
    EXPECT_EQ(owner_of("ada").core_ms, 2 * 4 * 10000);
    w.now_us += SECOND;
    EXPECT_EQ(world_fail(&w, unit, world_fence(&w, unit), false), SH_OK);
    uint64_t used = owner_of("ada").core_ms;
    EXPECT(used > 84000 - 10 && used <= 84000); /* some of it has decayed */
    jobs_check(w.core, w.t);
    EXPECT_EQ(owner_of("bob").core_ms, 0);
    world_free(&w);
}

TEST(a_gang_that_stops_is_charged_once_when_it_has_ended)
{
    open_world();
    struct wire_unit unit = submit("ada", 1, 2);
    EXPECT_EQ(world_place(&w, unit, 1, 1), SH_OK);
    w.now_us += SECOND;
    EXPECT_EQ(world_stop(&w, unit.job), SH_OK);
    EXPECT_EQ(owner_of("ada").core_ms, 0);
    w.now_us += SECOND;
    EXPECT_EQ(world_commit(&w, unit, world_fence(&w, unit), 1, true), SH_OK);
    EXPECT_EQ(owner_of("ada").core_ms, 2000 * (1 + 2 * 16));
    jobs_check(w.core, w.t);
    world_free(&w);
}

TEST(what_was_used_counts_half_after_a_day)
{
    open_world();
    struct wire_unit unit = submit("ada", 1, 0);
    EXPECT_EQ(world_place(&w, unit, 1, 1), SH_OK);
    w.now_us += 1000 * SECOND;
    EXPECT_EQ(world_expire(&w, unit, world_fence(&w, unit)), SH_OK);
    EXPECT_EQ(owner_of("ada").core_ms, 1000000);
    w.now_us += DAY;
    EXPECT_EQ(owner_of("ada").core_ms, 500000);
    w.now_us += 100 * DAY;
    EXPECT_EQ(owner_of("ada").core_ms, 0);
    world_free(&w);
}

TEST(jobs_of_nobody_are_charged_to_nobody)
{
    struct jobs_counts counts;
    open_world();
    struct wire_unit unit = submit("", 1, 0);
    EXPECT_EQ(world_place(&w, unit, 1, 1), SH_OK);
    w.now_us += SECOND;
    EXPECT_EQ(world_commit(&w, unit, world_fence(&w, unit), 1, false), SH_OK);
    EXPECT_EQ(jobs_counts_get(w.t, &counts), SH_OK);
    EXPECT_EQ(counts.owners, 0);
    world_free(&w);
}

TEST(of_too_many_owners_the_one_that_used_least_is_forgotten)
{
    struct jobs_counts counts;
    char name[16];
    open_world();
    for (uint32_t i = 0; i <= JOBS_OWNERS_MAX; i++) {
        (void)snprintf(name, sizeof name, "u%u", i);
        struct wire_unit unit = submit(name, i == 5 ? 1 : 2, 0);
        EXPECT_EQ(world_place(&w, unit, 1, 1), SH_OK);
        w.now_us += SECOND;
        EXPECT_EQ(world_commit(&w, unit, world_fence(&w, unit), 1, false), SH_OK);
    }
    EXPECT_EQ(jobs_counts_get(w.t, &counts), SH_OK);
    EXPECT_EQ(counts.owners, JOBS_OWNERS_MAX);
    EXPECT_EQ(owner_of("u5").core_ms, 0);
    EXPECT(owner_of("u4").core_ms > 1000);
    EXPECT_EQ(owner_of(name).core_ms, 2000);
    world_free(&w);
}

TEST(an_agent_is_drained_until_it_is_not)
{
    struct jobs_node node;
    open_world();
    EXPECT_EQ(world_mark(&w, 7, JOBS_MARK_DRAIN), SH_ERR_NOT_FOUND);
    EXPECT_EQ(world_mark(&w, 1, JOBS_MARK_DRAIN), SH_OK);
    EXPECT(!w.result.duplicate && w.result.nodes_changed);
    EXPECT_EQ(world_mark(&w, 1, JOBS_MARK_DRAIN), SH_OK);
    EXPECT(w.result.duplicate && !w.result.nodes_changed);
    EXPECT_EQ(jobs_node_by_name(w.t, "a", &node), SH_OK);
    EXPECT(node.draining);
    EXPECT_EQ(world_admit(&w, 1, "c"), SH_OK); /* a new name changes nothing about that */
    EXPECT_EQ(jobs_node_by_name(w.t, "c", &node), SH_OK);
    EXPECT(node.draining);
    EXPECT_EQ(world_mark(&w, 1, JOBS_MARK_UNDRAIN), SH_OK);
    EXPECT_EQ(jobs_node_by_name(w.t, "c", &node), SH_OK);
    EXPECT(!node.draining);
    jobs_check(w.core, w.t);
    world_free(&w);
}
