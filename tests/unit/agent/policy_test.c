/* SPDX-License-Identifier: Apache-2.0 */
#include "policy.h"

#include "tst.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
    const char *text;
    uint16_t from;
    uint16_t to;
    bool ok;
} hours[] = {
    {"20:00-08:00", 1200, 480, true}, {"00:00-23:59", 0, 1439, true}, {"08:00-08:00", 0, 0, false},
    {"8:00-9:00", 0, 0, false},       {"24:00-08:00", 0, 0, false},   {"20:60-08:00", 0, 0, false},
    {"20:00", 0, 0, false},           {"20:00-08:00x", 0, 0, false},  {"", 0, 0, false},
    {"20:00_08:00", 0, 0, false},
};

TEST_ROWS(hours_are_two_times_of_the_day, hours)
{
    struct policy_rules rules = {.busy_milli = 0};
    EXPECT_EQ(policy_hours_read(hours[tst_row].text, &rules), hours[tst_row].ok);
    EXPECT_EQ(rules.hours, hours[tst_row].ok);
    if (hours[tst_row].ok) {
        EXPECT_EQ(rules.from, hours[tst_row].from);
        EXPECT_EQ(rules.to, hours[tst_row].to);
    }
}

static enum wire_policy at(const char *text, uint16_t minute)
{
    struct policy_rules rules = {.busy_milli = 0};
    struct policy_state state = {.minute = minute};
    EXPECT(policy_hours_read(text, &rules));
    return policy_judge(&rules, &state, WIRE_POLICY_NONE);
}

TEST(work_is_taken_within_the_hours_only_also_over_midnight)
{
    EXPECT_EQ(at("09:00-17:00", 9 * 60 - 1), WIRE_POLICY_HOURS);
    EXPECT_EQ(at("09:00-17:00", 9 * 60), WIRE_POLICY_NONE);
    EXPECT_EQ(at("09:00-17:00", 17 * 60 - 1), WIRE_POLICY_NONE);
    EXPECT_EQ(at("09:00-17:00", 17 * 60), WIRE_POLICY_HOURS);
    EXPECT_EQ(at("20:00-08:00", 20 * 60 - 1), WIRE_POLICY_HOURS);
    EXPECT_EQ(at("20:00-08:00", 23 * 60), WIRE_POLICY_NONE);
    EXPECT_EQ(at("20:00-08:00", 0), WIRE_POLICY_NONE);
    EXPECT_EQ(at("20:00-08:00", 8 * 60), WIRE_POLICY_HOURS);
}

TEST(a_busy_machine_is_free_again_a_tenth_below)
{
    struct policy_rules rules = {.busy_milli = 900};
    struct policy_state state = {.load_milli = 899};
    EXPECT_EQ(policy_judge(&rules, &state, WIRE_POLICY_NONE), WIRE_POLICY_NONE);
    state.load_milli = 900;
    EXPECT_EQ(policy_judge(&rules, &state, WIRE_POLICY_NONE), WIRE_POLICY_BUSY);
    state.load_milli = 800;
    EXPECT_EQ(policy_judge(&rules, &state, WIRE_POLICY_BUSY), WIRE_POLICY_BUSY);
    EXPECT_EQ(policy_judge(&rules, &state, WIRE_POLICY_NONE), WIRE_POLICY_NONE);
    state.load_milli = 799;
    EXPECT_EQ(policy_judge(&rules, &state, WIRE_POLICY_BUSY), WIRE_POLICY_NONE);
    rules.busy_milli = 0; /* never */
    state.load_milli = 1000;
    EXPECT_EQ(policy_judge(&rules, &state, WIRE_POLICY_BUSY), WIRE_POLICY_NONE);
}

TEST(a_battery_counts_where_the_owner_says_so)
{
    struct policy_rules rules = {.mains = true};
    struct policy_state state = {.battery = true};
    EXPECT_EQ(policy_judge(&rules, &state, WIRE_POLICY_NONE), WIRE_POLICY_BATTERY);
    state.battery = false;
    EXPECT_EQ(policy_judge(&rules, &state, WIRE_POLICY_NONE), WIRE_POLICY_NONE);
    rules.mains = false;
    state.battery = true;
    EXPECT_EQ(policy_judge(&rules, &state, WIRE_POLICY_NONE), WIRE_POLICY_NONE);
}

static char folder[] = "/tmp/shoal-policy-XXXXXX";

static void supply(const char *name, const char *file, const char *text)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    (void)mkdir(path, 0700); /* perhaps it is there */
    (void)snprintf(path, sizeof path, "%s/%s/%s", folder, name, file);
    FILE *out = fopen(path, "we");
    EXPECT(out != NULL);
    (void)fputs(text, out);
    (void)fclose(out);
}

static void remove_supply(const char *name, const char *file)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s/type", folder, name);
    EXPECT_EQ(unlink(path), 0);
    (void)snprintf(path, sizeof path, "%s/%s/%s", folder, name, file);
    EXPECT_EQ(unlink(path), 0);
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    EXPECT_EQ(rmdir(path), 0);
}

TEST(a_machine_is_on_battery_when_one_discharges_and_nothing_else_feeds_it)
{
    EXPECT(!policy_on_battery("/nowhere/at/all"));
    EXPECT(mkdtemp(folder) != NULL);
    EXPECT(!policy_on_battery(folder)); /* a desktop tells nothing */
    supply("BAT0", "type", "Battery\n");
    supply("BAT0", "status", "Discharging\n");
    EXPECT(policy_on_battery(folder));
    supply("AC", "type", "Mains\n");
    supply("AC", "online", "0\n");
    EXPECT(policy_on_battery(folder));
    supply("AC", "online", "1\n");
    EXPECT(!policy_on_battery(folder));
    supply("AC", "online", "0\n");
    supply("BAT0", "status", "Full\n");
    EXPECT(!policy_on_battery(folder));
    remove_supply("BAT0", "status");
    remove_supply("AC", "online");
    EXPECT_EQ(rmdir(folder), 0);
}
