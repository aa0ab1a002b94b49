/* SPDX-License-Identifier: Apache-2.0
 *
 * agent, demo and init. */
#include "cli/settings.h"

#include "spec/measure.h"
#include "trust/trust.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "a,b" into the list. */
static int split_join(struct cli *c, const char *list, struct agent_options *o)
{
    while (*list != '\0') {
        size_t n = strcspn(list, ",");
        if (o->join_count == AGENT_JOIN_MAX || n > SH_ADDR_MAX) {
            return cli_fail(c, CLI_USAGE, "USAGE", "--join: at most %u addresses of %u characters",
                            AGENT_JOIN_MAX, SH_ADDR_MAX);
        }
        if (n > 0 && memchr(list, ':', n) == NULL) {
            return cli_fail(c, CLI_USAGE, "USAGE",
                            "--join: %.*s: must be HOST:PORT, such as %.*s:%u", (int)n, list,
                            (int)n, list, AGENT_LISTEN_PORT);
        }
        if (n > 0) {
            memcpy(o->join[o->join_count], list, n);
            o->join_count++;
        }
        list += n + (list[n] == ',' ? 1 : 0);
    }
    return CLI_OK;
}

static bool copy(char *out, size_t size, const char *text)
{
    return snprintf(out, size, "%s", text) < (int)size;
}

static int take_addresses(struct cli *c, const struct cli_settings *s, struct agent_options *o)
{
    const struct {
        const char *key;
        char *out;
    } ADDRESSES[] = {{"listen", o->listen}, {"advertise", o->advertise}, {"api", o->api}};
    for (size_t i = 0; i < SH_COUNT(ADDRESSES); i++) {
        const char *text = cli_settings_value(s, ADDRESSES[i].key);
        bool empty = text[0] == '\0';
        if (!copy(ADDRESSES[i].out, SH_ADDR_MAX + 1, text) ||
            (!empty && strchr(text, ':') == NULL)) {
            return cli_fail(c, CLI_USAGE, "USAGE", "--%s: %s: must be HOST:PORT", ADDRESSES[i].key,
                            text);
        }
    }
    return CLI_OK;
}

/* Digits alone, within the bounds. */
static bool take_number(const char *text, uint32_t low, uint32_t high, uint32_t *out)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 7 || text[digits] != '\0') {
        return false;
    }
    *out = (uint32_t)strtoul(text, NULL, 10);
    return *out >= low && *out <= high;
}

/* Of the three settings that are times. */
static int take_times(struct cli *c, const struct cli_settings *s, struct agent_options *o)
{
    const struct {
        const char *key;
        uint64_t *out;
    } TIMES[] = {{"keep-uploads", &o->keep_uploads_us},
                 {"collect-every", &o->collect_every_us},
                 {"collect-grace", &o->collect_grace_us}};
    for (size_t i = 0; i < SH_COUNT(TIMES); i++) {
        const char *text = cli_settings_value(s, TIMES[i].key);
        uint64_t seconds = 0;
        if (!spec_seconds_read(text, &seconds) || seconds == 0 || seconds > AGENT_COLLECT_MAX_S) {
            return cli_fail(c, CLI_USAGE, "USAGE",
                            "--%s: %s: must be a time from 1s to %us such as "
                            "90s, 10m, 24h",
                            TIMES[i].key, text, AGENT_COLLECT_MAX_S);
        }
        *TIMES[i].out = seconds * 1000000;
    }
    const char *copies = cli_settings_value(s, "copies");
    if (!take_number(copies, 1, AGENT_COPIES_MAX, &o->copies)) {
        return cli_fail(c, CLI_USAGE, "USAGE", "--copies: %s: must be 1 to %u", copies,
                        AGENT_COPIES_MAX);
    }
    return CLI_OK;
}

/* Keys of labels that follow from what an agent is; agent/roster.c makes them. */
static int refuse_own_labels(struct cli *c, const char *labels)
{
    static const struct {
        const char *key;
        const char *instead;
    } OWN[] = {{"name", "--name sets it"},     {"zone", "--zone sets it"},
               {"arch", "it is found out"},    {"isa", "it is found out"},
               {"version", "it is found out"}, {"gpu", "it is found out"},
               {"sandbox", "it is found out"}};
    while (*labels != '\0') {
        size_t size = strcspn(labels, ",");
        size_t key = strcspn(labels, "=,");
        for (size_t i = 0; i < SH_COUNT(OWN); i++) {
            if (strlen(OWN[i].key) == key && memcmp(OWN[i].key, labels, key) == 0) {
                return cli_fail(c, CLI_USAGE, "USAGE",
                                "--label: %.*s: every agent has a label %s: %s", (int)size, labels,
                                OWN[i].key, OWN[i].instead);
            }
        }
        labels += size + (labels[size] == ',' ? 1 : 0);
    }
    return CLI_OK;
}

static int take_labels(struct cli *c, const struct cli_settings *s, struct agent_options *o)
{
    const char *labels = cli_settings_value(s, "label");
    if (!wire_labels_ok(labels) || !copy(o->labels, sizeof o->labels, labels)) {
        return cli_fail(
            c, CLI_USAGE, "USAGE",
            "--label: %s: must be KEY=VALUE or KEY, each at most %u of [A-Za-z0-9._/-]; "
            "at most %u, of %u characters together, and no key twice",
            labels, WIRE_LABEL_MAX, WIRE_LABELS_MAX, WIRE_LABELS_BYTES_MAX);
    }
    return refuse_own_labels(c, labels);
}

static bool take_flag(const struct cli_settings *s, const char *key, bool *out)
{
    const char *text = cli_settings_value(s, key);
    *out = strcmp(text, "true") == 0;
    return *out || strcmp(text, "false") == 0;
}

static int take_policy(struct cli *c, const struct cli_settings *s, struct agent_options *o)
{
    const char *hours = cli_settings_value(s, "hours");
    const char *busy = cli_settings_value(s, "busy");
    const char *slots = cli_settings_value(s, "slots");
    uint32_t percent = 0;
    if (!take_number(slots, 1, AGENT_SLOTS_MAX, &o->slots)) {
        return cli_fail(c, CLI_USAGE, "USAGE", "--slots: %s: must be 1 to %u units at a time",
                        slots, AGENT_SLOTS_MAX);
    }
    if (hours[0] != '\0' && !policy_hours_read(hours, &o->policy)) {
        return cli_fail(c, CLI_USAGE, "USAGE",
                        "--hours: %s: must be HH:MM-HH:MM, such as "
                        "20:00-08:00",
                        hours);
    }
    if (!take_number(busy, 0, 100, &percent)) {
        return cli_fail(c, CLI_USAGE, "USAGE",
                        "--busy: %s: must be 1 to 100 per cent of the cores, or 0: never", busy);
    }
    o->policy.busy_milli = (uint16_t)(10 * percent);
    if (!take_flag(s, "on-mains", &o->policy.mains)) {
        return cli_fail(c, CLI_USAGE, "USAGE", "on-mains: %s: must be true or false",
                        cli_settings_value(s, "on-mains"));
    }
    return take_labels(c, s, o);
}

static int take_sandbox_min(struct cli *c, const struct cli_settings *s, struct agent_options *o)
{
    static const struct {
        const char *name;
        enum wire_sandbox level;
    } LEVELS[] = {{"none", WIRE_SANDBOX_NONE},
                  {"basic", WIRE_SANDBOX_BASIC},
                  {"strict", WIRE_SANDBOX_STRICT}};
    const char *text = cli_settings_value(s, "sandbox-min");
    for (size_t i = 0; i < SH_COUNT(LEVELS); i++) {
        if (strcmp(text, LEVELS[i].name) == 0) {
            o->sandbox_min = LEVELS[i].level;
            return CLI_OK;
        }
    }
    return cli_fail(c, CLI_USAGE, "USAGE", "--sandbox-min: %s: must be none, basic or strict",
                    text);
}

static int take_run_as(struct cli *c, const struct cli_settings *s, struct agent_options *o)
{
    const char *text = cli_settings_value(s, "run-as");
    if (!take_number(text, 0, AGENT_RUN_AS_MAX, &o->run_as)) {
        return cli_fail(c, CLI_USAGE, "USAGE",
                        "--run-as: %s: must be a user id up to %u, or 0: as the agent itself", text,
                        AGENT_RUN_AS_MAX);
    }
    o->run_as_given = cli_settings_origin(s, "run-as") != CLI_FROM_DEFAULT;
    if (o->run_as > 0 && geteuid() != 0) {
        return cli_fail(c, CLI_USAGE, "USAGE",
                        "--run-as: %s: only an agent of root can run commands as others; must be 0",
                        text);
    }
    return CLI_OK;
}

static int take_options(struct cli *c, const struct cli_settings *s, struct agent_options *o)
{
    const char *threads = cli_settings_value(s, "threads");
    const char *name = cli_settings_value(s, "name");
    const char *entries = cli_settings_value(s, "log-entries");
    if (!take_number(threads, 0, 9999, &o->threads)) {
        return cli_fail(c, CLI_USAGE, "USAGE", "--threads: %s: must be a number of cores, 0: all",
                        threads);
    }
    const char *voters = cli_settings_value(s, "voters");
    if (strlen(voters) != 1 || strchr("1357", voters[0]) == NULL) {
        return cli_fail(c, CLI_USAGE, "USAGE", "--voters: %s: must be 1, 3, 5 or 7", voters);
    }
    o->voters = (uint32_t)(voters[0] - '0');
    const char *zone = cli_settings_value(s, "zone");
    if (!copy(o->zone, sizeof o->zone, zone) || (zone[0] != '\0' && !wire_name_ok(zone))) {
        return cli_fail(c, CLI_USAGE, "USAGE", "--zone: %s: must be at most %u of [A-Za-z0-9._-]",
                        zone, WIRE_ZONE_MAX);
    }
    if (!take_number(entries, AGENT_LOG_ENTRIES_MIN, AGENT_LOG_ENTRIES_MAX, &o->log_entries)) {
        return cli_fail(c, CLI_USAGE, "USAGE", "--log-entries: %s: must be %u to %u", entries,
                        AGENT_LOG_ENTRIES_MIN, AGENT_LOG_ENTRIES_MAX);
    }
    if (!copy(o->name, sizeof o->name, name) || name[0] == '\0') {
        return cli_fail(c, CLI_USAGE, "USAGE", "--name: must be 1 to %u characters", SH_NAME_MAX);
    }
    if (!take_flag(s, "allow-commands", &o->allow_commands)) {
        return cli_fail(c, CLI_USAGE, "USAGE", "allow-commands: %s: must be true or false",
                        cli_settings_value(s, "allow-commands"));
    }
    int status = take_run_as(c, s, o);
    status = status == CLI_OK ? take_sandbox_min(c, s, o) : status;
    if (status != CLI_OK) {
        return status;
    }
    o->new_cluster = cli_flag(c, "--new");
    (void)copy(o->data_dir, sizeof o->data_dir, cli_settings_value(s, "data"));
    (void)copy(o->secret_file, sizeof o->secret_file, cli_settings_value(s, "secret"));
    (void)copy(o->api_token_file, sizeof o->api_token_file, cli_settings_value(s, "api-token"));
    status = take_times(c, s, o);
    if (status == CLI_OK) {
        status = take_addresses(c, s, o);
    }
    if (status == CLI_OK) {
        status = take_policy(c, s, o);
    }
    if (status == CLI_OK) {
        status = split_join(c, cli_settings_value(s, "join"), o);
    }
    if (status == CLI_OK && o->new_cluster && o->join_count > 0) {
        return cli_fail(c, CLI_USAGE, "USAGE",
                        "--new forms a cluster and --join enters one: give one of them");
    }
    return status;
}

int cli_run_agent(struct cli *c)
{
    struct cli_settings *settings = calloc(1, sizeof *settings);
    struct agent_options *options = calloc(1, sizeof *options);
    int status = CLI_INTERNAL;
    if (settings != NULL && options != NULL) {
        status = cli_settings_read(c, settings);
    }
    if (status == CLI_OK) {
        status = take_options(c, settings, options);
    }
    free(settings);
    if (status == CLI_OK) {
        status = c->programs->agent(options);
    }
    free(options);
    return status;
}

int cli_run_demo(struct cli *c)
{
    struct demo_options options = {
        .json = c->json, .terminal = c->terminal, .keep = cli_flag(c, "--keep")};
    const char *dir = cli_value(c, "--dir");
    if (dir != NULL && !copy(options.dir, sizeof options.dir, dir)) {
        return cli_fail(c, CLI_USAGE, "USAGE", "--dir: longer than %u characters", AGENT_PATH_MAX);
    }
    return c->programs->demo(&options);
}

static void print_next_steps(struct cli *c, const char *path)
{
    char host[SH_NAME_MAX + 1] = "FIRST";
    if (gethostname(host, sizeof host - 1) != 0) {
        (void)snprintf(host, sizeof host, "FIRST");
    }
    (void)fprintf(c->out,
                  "wrote %s: whoever has this file can join the cluster; keep it private\n\n"
                  "on this machine (%s):\n"
                  "  shoal agent --new --secret %s\n\n"
                  "copy %s to the second and the third machine (scp %s HOST:), then on each:\n"
                  "  shoal agent --join %s:%u --secret %s\n\n"
                  "three agents go on when any one of them is lost. Each must let the others in:\n"
                  "  ufw allow %u:%u/tcp && ufw allow %u/udp\n"
                  "  firewall-cmd --permanent --add-port=%u-%u/tcp --add-port=%u/udp && "
                  "firewall-cmd --reload\n\n"
                  "then, on any of them: shoal nodes\n",
                  path, host, path, path, path, host, AGENT_LISTEN_PORT, path, AGENT_LISTEN_PORT,
                  AGENT_LISTEN_PORT + 1, AGENT_LISTEN_PORT, AGENT_LISTEN_PORT,
                  AGENT_LISTEN_PORT + 1, AGENT_LISTEN_PORT);
}

int cli_run_init(struct cli *c)
{
    struct trust_secret secret;
    char why[TRUST_WHY_MAX] = "";
    uint8_t cluster[SH_CLUSTER_ID_BYTES];
    const char *path = cli_value(c, "--secret");
    path = path != NULL ? path : "cluster.secret";
    enum sh_err err = trust_secret_create(path, &secret, why);
    if (err != SH_OK) {
        return cli_fail(c, cli_exit_of(sh_err_name(err)), sh_err_name(err), "%s", why);
    }
    trust_secret_cluster(&secret, cluster);
    trust_secret_wipe(&secret);
    if (c->json) {
        return cli_print_json(c, json_pack("{s:s, s:o}", "secret_file", path, "cluster",
                                           spec_json_hex(cluster, sizeof cluster)));
    }
    print_next_steps(c, path);
    return CLI_OK;
}
