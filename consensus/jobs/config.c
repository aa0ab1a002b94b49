/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/config.h"
#include "jobs/tx.h"

static const struct jobs_setting_rule rules[] = {
    {"reserve", 0, 1000, JOBS_SETTING_PERMILLE},
    {"keep-results", 0, JOBS_RESULTS_MAX, JOBS_SETTING_COUNT},
    {"quota.", 1, JOBS_OPEN_MAX, JOBS_SETTING_COUNT}};

const struct jobs_setting_rule *jobs_setting_rule_at(uint32_t i)
{
    return i < SH_COUNT(rules) ? &rules[i] : NULL;
}

const struct jobs_setting_rule *jobs_setting_rule(const char *key)
{
    const struct jobs_setting_rule *found = NULL;
    for (size_t i = 0; i < SH_COUNT(rules) && found == NULL; i++) {
        size_t size = strlen(rules[i].key);
        bool named = rules[i].key[size - 1] == '.';
        bool same = named ? strncmp(key, rules[i].key, size) == 0 && wire_name_ok(key + size)
                          : strcmp(key, rules[i].key) == 0;
        found = same ? &rules[i] : NULL;
    }
    return found;
}

bool jobs_setting_ok(const char *key, uint64_t value)
{
    const struct jobs_setting_rule *rule = jobs_setting_rule(key);
    return rule != NULL && value >= rule->low && value <= rule->high;
}

enum sh_err jobs_setting_get(const struct sh_table *t, const char *key, uint64_t *value)
{
    struct jobs_row_key row = jobs_row_name('v', key);
    struct sh_span bytes;
    bool found = t->get(t->ctx, jobs_row_span(&row), &bytes);
    return found ? jobs_row_get_index(bytes, value) : SH_ERR_NOT_FOUND;
}

enum sh_err jobs_setting_list(const struct sh_table *t, const char *after, struct jobs_setting *out,
                              uint32_t max, uint32_t *count)
{
    struct jobs_row_key first = jobs_row_name('v', after);
    struct jobs_row_key low = jobs_row_past(jobs_row_span(&first));
    struct jobs_row_key letter = jobs_row_letter('v');
    struct jobs_row_key high = jobs_row_beyond(&letter);
    struct sh_span key;
    struct sh_span value;
    enum sh_err err = SH_OK;
    *count = 0;
    while (err == SH_OK && *count < max &&
           t->seek(t->ctx, jobs_row_span(&low), jobs_row_span(&high), false, &key, &value)) {
        struct jobs_setting *setting = &out[*count];
        if (key.size > sizeof setting->key) {
            return SH_ERR_CORRUPT;
        }
        memcpy(setting->key, key.at + 1, key.size - 1);
        setting->key[key.size - 1] = '\0';
        err = jobs_row_get_index(value, &setting->value);
        *count += err == SH_OK ? 1 : 0;
        first = jobs_row_name('v', setting->key);
        low = jobs_row_past(jobs_row_span(&first));
    }
    return err;
}

/* How many more are set after all changes. */
static int64_t grows_by(struct jobs_tx *tx, const struct jobs_config_set *c)
{
    int64_t more = 0;
    for (uint32_t i = 0; i < c->count; i++) {
        bool before = jobs_tx_has(tx, jobs_row_name('v', c->at[i].key));
        for (uint32_t j = 0; j < i; j++) { /* what an earlier change made of it */
            before = strcmp(c->at[j].key, c->at[i].key) == 0 ? !c->at[j].unset : before;
        }
        more += (c->at[i].unset ? 0 : 1) - (before ? 1 : 0);
    }
    return more;
}

enum jobs_code jobs_do_config_set(struct jobs_tx *tx, const struct jobs_config_set *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        const struct jobs_config_change *change = &c->at[i];
        if (jobs_setting_rule(change->key) == NULL ||
            (!change->unset && !jobs_setting_ok(change->key, change->value))) {
            return JOBS_CODE_BAD_SETTING;
        }
    }
    int64_t settings = (int64_t)tx->meta.settings + grows_by(tx, c);
    SH_CHECK(settings >= 0);
    if (settings > (int64_t)JOBS_CONFIG_MAX && settings > (int64_t)tx->meta.settings) {
        return JOBS_CODE_SETTINGS_FULL;
    }
    for (uint32_t i = 0; i < c->count; i++) {
        struct jobs_row_key key = jobs_row_name('v', c->at[i].key);
        if (!c->at[i].unset) {
            jobs_tx_put(tx, key, jobs_row_put_index(tx->core->buffer, c->at[i].value));
        } else if (jobs_tx_has(tx, key)) {
            jobs_tx_del(tx, key);
        }
    }
    tx->meta.settings = (uint32_t)settings;
    return JOBS_CODE_NONE;
}
