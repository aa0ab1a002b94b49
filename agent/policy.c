/* SPDX-License-Identifier: Apache-2.0 */
#include "policy.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#define BUSY_SLACK 100u /* per mille: a tenth */

enum { HOUR = 60, DAY = 24 * HOUR, PATH_BYTES = 512 };

static bool within_hours(const struct policy_rules *rules, uint16_t minute)
{
    bool over_midnight = rules->from > rules->to;
    bool after = minute >= rules->from;
    bool before = minute < rules->to;
    return over_midnight ? after || before : after && before;
}

static bool is_busy(const struct policy_rules *rules, uint16_t load, bool before)
{
    uint32_t limit = rules->busy_milli;
    if (before) {
        limit = limit > BUSY_SLACK ? limit - BUSY_SLACK : 1;
    }
    return rules->busy_milli > 0 && load >= limit;
}

enum wire_policy policy_judge(const struct policy_rules *rules, const struct policy_state *state,
                              enum wire_policy before)
{
    if (rules->hours && !within_hours(rules, state->minute)) {
        return WIRE_POLICY_HOURS;
    }
    if (rules->mains && state->battery) {
        return WIRE_POLICY_BATTERY;
    }
    bool busy = is_busy(rules, state->load_milli, before == WIRE_POLICY_BUSY);
    return busy ? WIRE_POLICY_BUSY : WIRE_POLICY_NONE;
}

/* "08:30" at text; its end, or NULL. */
static const char *time_read(const char *text, uint16_t *minute)
{
    static const char *const PATTERN = "dd:dd";
    for (size_t i = 0; PATTERN[i] != '\0'; i++) {
        bool good = PATTERN[i] == 'd' ? text[i] >= '0' && text[i] <= '9' : text[i] == PATTERN[i];
        if (!good) {
            return NULL;
        }
    }
    unsigned hour = 10u * (unsigned)(text[0] - '0') + (unsigned)(text[1] - '0');
    unsigned rest = 10u * (unsigned)(text[3] - '0') + (unsigned)(text[4] - '0');
    *minute = (uint16_t)(hour * HOUR + rest);
    return hour < 24 && rest < HOUR ? text + 5 : NULL;
}

bool policy_hours_read(const char *text, struct policy_rules *rules)
{
    const char *at = time_read(text, &rules->from);
    at = at != NULL && *at == '-' ? time_read(at + 1, &rules->to) : NULL;
    rules->hours = at != NULL && *at == '\0' && rules->from != rules->to;
    return rules->hours;
}

/* One line of a small file; "" where it cannot be read. */
static void read_word(const char *folder, const char *supply, const char *name, char *out,
                      size_t size)
{
    char path[PATH_BYTES];
    int n = snprintf(path, sizeof path, "%s/%s/%s", folder, supply, name);
    FILE *file = n > 0 && (size_t)n < sizeof path ? fopen(path, "re") : NULL;
    out[0] = '\0';
    if (file != NULL) {
        if (fgets(out, (int)size, file) == NULL) {
            out[0] = '\0';
        }
        (void)fclose(file);
    }
    out[strcspn(out, "\n")] = '\0';
}

bool policy_on_battery(const char *folder)
{
    bool mains = false;
    bool discharges = false;
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        return false;
    }
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        char type[32];
        char state[32];
        if (entry->d_name[0] == '.') {
            continue;
        }
        read_word(folder, entry->d_name, "type", type, sizeof type);
        bool battery = strcmp(type, "Battery") == 0;
        read_word(folder, entry->d_name, battery ? "status" : "online", state, sizeof state);
        mains = mains || (!battery && strcmp(state, "1") == 0);
        discharges = discharges || (battery && strcmp(state, "Discharging") == 0);
    }
    (void)closedir(dir);
    return discharges && !mains;
}
