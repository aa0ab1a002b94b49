/* SPDX-License-Identifier: Apache-2.0
 *
 * Settings of the whole cluster, replicated: whole numbers under keys of a fixed list. One that is
 * not set has its default.
 *
 *   reserve        per mille of the agents that are kept for predictions; 0
 *   keep-results   completed jobs of a name that keep what they left, where the job file does not
 *                  say; 0: all
 *   quota.OWNER    units of that owner that run at a time; any number */
#ifndef SH_JOBS_CONFIG_H
#define SH_JOBS_CONFIG_H

#include "jobs/jobs.h"

enum jobs_setting_unit { JOBS_SETTING_COUNT, JOBS_SETTING_PERMILLE };

struct jobs_setting_rule {
    const char *key; /* one that ends with '.' is followed by a name */
    uint64_t low;
    uint64_t high;
    enum jobs_setting_unit unit;
};

struct jobs_setting {
    char key[JOBS_SETTING_MAX + 1];
    uint64_t value;
};

/* The list, in order; NULL past its end. */
const struct jobs_setting_rule *jobs_setting_rule_at(uint32_t i);
/* NULL: no such setting. */
const struct jobs_setting_rule *jobs_setting_rule(const char *key);
bool jobs_setting_ok(const char *key, uint64_t value);

/* NOT_FOUND: it is not set. */
SH_MUST_USE enum sh_err jobs_setting_get(const struct sh_table *t, const char *key,
                                         uint64_t *value);
/* What is set, by key, ascending, after a key ("": from the first). */
SH_MUST_USE enum sh_err jobs_setting_list(const struct sh_table *t, const char *after,
                                          struct jobs_setting *out, uint32_t max, uint32_t *count);

#endif
