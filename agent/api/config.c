/* SPDX-License-Identifier: Apache-2.0
 *
 * Settings of the cluster, and what people say about its agents. */
#include "api/view.h"

#include "jobs/config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PERMILLE 1000.0
#define PAGE     64u

/* ---- settings ---- */

/* "reserve, quota.OWNER" */
static void name_settings(char *out, size_t size)
{
    const struct jobs_setting_rule *rule = NULL;
    size_t used = 0;
    out[0] = '\0';
    for (uint32_t i = 0; (rule = jobs_setting_rule_at(i)) != NULL && used < size; i++) {
        bool named = rule->key[strlen(rule->key) - 1] == '.';
        int n = snprintf(out + used, size - used, "%s%s%s", i > 0 ? ", " : "", rule->key,
                         named ? "OWNER" : "");
        used += n > 0 ? (size_t)n : 0;
    }
}

static json_t *value_json(const struct jobs_setting_rule *rule, uint64_t value)
{
    return rule->unit == JOBS_SETTING_PERMILLE ? json_real((double)value / PERMILLE)
                                               : json_integer((json_int_t)value);
}

static bool add_page(const struct sh_table *t, char after[static JOBS_SETTING_MAX + 1], json_t *out,
                     enum sh_err *err)
{
    struct jobs_setting list[PAGE];
    uint32_t count = 0;
    *err = jobs_setting_list(t, after, list, PAGE, &count);
    for (uint32_t i = 0; i < count && *err == SH_OK; i++) {
        const struct jobs_setting_rule *rule = jobs_setting_rule(list[i].key);
        if (rule != NULL) {
            (void)json_object_set_new(out, list[i].key, value_json(rule, list[i].value));
        }
        memcpy(after, list[i].key, sizeof list[i].key);
    }
    return *err == SH_OK && count == PAGE;
}

static void reply_config(struct api_reply *reply, struct service_view *view)
{
    char after[JOBS_SETTING_MAX + 1] = "";
    json_t *settings = json_object();
    enum sh_err err = SH_OK;
    while (add_page(service_view_table(view), after, settings, &err)) {
    }
    if (err != SH_OK) {
        json_decref(settings);
        api_reply_err(reply, err);
    } else {
        api_reply_json(reply, 200, json_pack("{s:o}", "config", settings));
    }
}

void api_get_config(const struct api_request *request, struct api_reply *reply)
{
    struct service_view *view = NULL;
    if (api_open_view(request, reply, &view)) {
        reply_config(reply, view);
        service_view_close(view);
    }
}

/* As it was written, for an error. */
static void say_value(const json_t *value, char *out, size_t size)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
    (void)snprintf(out, size, "%s", text != NULL ? text : "");
    free(text);
}

static bool refuse_value(struct api_reply *reply, const char *key,
                         const struct jobs_setting_rule *rule, const json_t *value)
{
    char text[64];
    say_value(value, text, sizeof text);
    if (rule->unit == JOBS_SETTING_PERMILLE) {
        api_reply_error(reply, SH_ERR_INVALID, key, text,
                        "must be a number from %g to %g, or null for the default",
                        (double)rule->low / PERMILLE, (double)rule->high / PERMILLE);
    } else {
        api_reply_error(reply, SH_ERR_INVALID, key, text,
                        "must be a whole number from %llu to %llu, or null for the default",
                        (unsigned long long)rule->low, (unsigned long long)rule->high);
    }
    return false;
}

/* False with the reply made. */
static bool take_change(struct api_reply *reply, const char *key, const json_t *value,
                        struct jobs_config_change *out)
{
    const struct jobs_setting_rule *rule = jobs_setting_rule(key);
    if (rule == NULL) {
        char known[256];
        name_settings(known, sizeof known);
        api_reply_error(reply, SH_ERR_INVALID, "key", key, "no such setting; there are: %s", known);
        return false;
    }
    (void)snprintf(out->key, sizeof out->key, "%s", key);
    out->unset = json_is_null(value);
    double number = json_is_number(value) ? json_number_value(value) : -1.0;
    bool whole = rule->unit == JOBS_SETTING_PERMILLE || json_is_integer(value);
    number = rule->unit == JOBS_SETTING_PERMILLE ? round(number * PERMILLE) : number;
    bool fits = number >= (double)rule->low && number <= (double)rule->high;
    if (!out->unset && (!whole || !fits)) {
        return refuse_value(reply, key, rule, value);
    }
    out->value = out->unset ? 0 : (uint64_t)number;
    return true;
}

static bool take_changes(struct api_reply *reply, json_t *body, struct jobs_config_set *set)
{
    const char *key = NULL;
    json_t *value = NULL;
    if (!json_is_object(body) || json_object_size(body) == 0 ||
        json_object_size(body) > JOBS_SETTINGS_MAX) {
        api_reply_error(reply, SH_ERR_INVALID, "body", "",
                        "must be a map of 1 to %u settings, such as {\"reserve\": 0.34}",
                        JOBS_SETTINGS_MAX);
        return false;
    }
    json_object_foreach(body, key, value)
    {
        if (!take_change(reply, key, value, &set->at[set->count])) {
            return false;
        }
        set->count++;
    }
    return true;
}

/* Proposes, and opens a view that shows it. False with the reply made. */
static bool apply(const struct api_request *request, struct api_reply *reply,
                  const struct jobs_cmd *cmd, struct service_view **view)
{
    struct jobs_result result;
    uint8_t *bytes = malloc(JOBS_CMD_BYTES_MAX);
    enum sh_err err = bytes != NULL ? SH_OK : SH_ERR_NO_MEMORY;
    struct sh_writer w = sh_writer_over(bytes, bytes != NULL ? JOBS_CMD_BYTES_MAX : 0);
    err = err == SH_OK ? jobs_cmd_encode(cmd, &w) : err;
    if (err == SH_OK) {
        err = service_propose(request->service, bytes, w.used, API_WRITE_TIMEOUT_US, &result);
    }
    free(bytes);
    if (err != SH_OK) {
        api_reply_err(reply, err);
        return false;
    }
    return api_open_here(request, reply, view);
}

void api_put_config(const struct api_request *request, struct api_reply *reply)
{
    struct service_view *view = NULL;
    struct jobs_cmd *cmd = calloc(1, sizeof *cmd);
    json_t *body =
        json_loadb((const char *)request->body, request->body_size, JSON_REJECT_DUPLICATES, NULL);
    if (cmd == NULL) {
        api_reply_err(reply, SH_ERR_NO_MEMORY);
    } else {
        cmd->type = JOBS_CONFIG_SET;
        if (take_changes(reply, body, &cmd->u.config_set) && apply(request, reply, cmd, &view)) {
            reply_config(reply, view);
            service_view_close(view);
        }
    }
    json_decref(body);
    free(cmd);
}

/* ---- agents ---- */

static void mark(const struct api_request *request, struct api_reply *reply, enum jobs_mark mark)
{
    const char *name = request->params[0];
    struct service_view *view = NULL;
    struct jobs_node node;
    struct jobs_health health;
    struct jobs_counts counts;
    if (!api_open_view(request, reply, &view)) {
        return;
    }
    const struct sh_table *t = service_view_table(view);
    enum sh_err err = jobs_node_by_name(t, name, &node);
    bool held = err == SH_OK && jobs_counts_get(t, &counts) == SH_OK &&
                jobs_health_get(t, node.id, &health) == SH_OK &&
                jobs_health_quarantined(&health, counts.stamp_us);
    service_view_close(view);
    if (err == SH_ERR_NOT_FOUND) {
        api_reply_error(reply, err, "node", name, "no such agent");
        return;
    }
    if (err == SH_OK && mark == JOBS_MARK_PAROLE && !held) {
        api_reply_error(reply, SH_ERR_CONFLICT, "node", name, "agent %s is not in quarantine",
                        name);
        return;
    }
    struct jobs_cmd *cmd = err == SH_OK ? calloc(1, sizeof *cmd) : NULL;
    if (cmd == NULL) {
        api_reply_err(reply, err != SH_OK ? err : SH_ERR_NO_MEMORY);
        return;
    }
    cmd->type = JOBS_NODE_MARK;
    cmd->u.node_mark.mark = mark;
    memcpy(cmd->u.node_mark.node, node.id, SH_NODE_ID_BYTES);
    if (apply(request, reply, cmd, &view)) {
        service_view_close(view);
        api_reply_json(reply, 200,
                       json_pack("{s:s, s:o}", "name", node.name, "id",
                                 spec_json_hex(node.id, sizeof node.id)));
    }
    free(cmd);
}

void api_drain_node(const struct api_request *request, struct api_reply *reply)
{
    mark(request, reply, JOBS_MARK_DRAIN);
}

void api_undrain_node(const struct api_request *request, struct api_reply *reply)
{
    mark(request, reply, JOBS_MARK_UNDRAIN);
}

void api_parole_node(const struct api_request *request, struct api_reply *reply)
{
    mark(request, reply, JOBS_MARK_PAROLE);
}
