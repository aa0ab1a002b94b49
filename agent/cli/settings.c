/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/settings.h"

#include "cli/table.h"
#include "spec/config.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONFIG_PATH      "/etc/shoal/agent.yaml"
#define CONFIG_BYTES_MAX ((size_t)65536)

static const char *const KEYS[CLI_SETTINGS_COUNT] = {
    "data",           "secret", "join",         "listen",        "advertise",     "api",
    "api-token",      "name",   "threads",      "zone",          "voters",        "log-entries",
    "allow-commands", "copies", "keep-uploads", "collect-every", "collect-grace", "label",
    "slots",          "hours",  "busy",         "on-mains",      "run-as",        "sandbox-min"};

/* Root keeps its state where services do, others in their home. */
static void default_data(char *out, size_t size)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    if (geteuid() == 0) {
        (void)snprintf(out, size, "/var/lib/shoal");
    } else if (state != NULL && state[0] == '/') {
        (void)snprintf(out, size, "%s/shoal", state);
    } else {
        (void)snprintf(out, size, "%s/.local/state/shoal", home != NULL ? home : ".");
    }
}

/* The host name with what a name may not have replaced. */
static void default_name(char *out, size_t size)
{
    char host[SH_NAME_MAX + 1] = "";
    if (gethostname(host, sizeof host - 1) != 0 || host[0] == '\0') {
        (void)snprintf(host, sizeof host, "agent");
    }
    for (char *at = host; *at != '\0'; at++) {
        bool good = isalnum((unsigned char)*at) != 0 || (at > host && strchr("._-", *at) != NULL);
        *at = good ? *at : 'x';
    }
    (void)snprintf(out, size, "%s", host);
}

static void set_default(struct cli_setting *s)
{
    s->origin = CLI_FROM_DEFAULT;
    if (strcmp(s->key, "data") == 0) {
        default_data(s->value, sizeof s->value);
    } else if (strcmp(s->key, "name") == 0) {
        default_name(s->value, sizeof s->value);
    } else if (strcmp(s->key, "listen") == 0) {
        (void)snprintf(s->value, sizeof s->value, "0.0.0.0:%u", AGENT_LISTEN_PORT);
    } else if (strcmp(s->key, "api") == 0) {
        (void)snprintf(s->value, sizeof s->value, "127.0.0.1:%u", AGENT_API_PORT);
    } else if (strcmp(s->key, "voters") == 0) {
        (void)snprintf(s->value, sizeof s->value, "5");
    } else if (strcmp(s->key, "threads") == 0) {
        (void)snprintf(s->value, sizeof s->value, "0");
    } else if (strcmp(s->key, "log-entries") == 0) {
        (void)snprintf(s->value, sizeof s->value, "%u", AGENT_LOG_ENTRIES);
    } else if (strcmp(s->key, "allow-commands") == 0 || strcmp(s->key, "on-mains") == 0) {
        (void)snprintf(s->value, sizeof s->value, "false");
    } else if (strcmp(s->key, "copies") == 0) {
        (void)snprintf(s->value, sizeof s->value, "%u", AGENT_COPIES);
    } else if (strcmp(s->key, "keep-uploads") == 0) {
        (void)snprintf(s->value, sizeof s->value, "%us", AGENT_KEEP_UPLOADS_S);
    } else if (strcmp(s->key, "collect-every") == 0) {
        (void)snprintf(s->value, sizeof s->value, "%us", AGENT_COLLECT_EVERY_S);
    } else if (strcmp(s->key, "collect-grace") == 0) {
        (void)snprintf(s->value, sizeof s->value, "%us", AGENT_COLLECT_GRACE_S);
    } else if (strcmp(s->key, "slots") == 0) {
        (void)snprintf(s->value, sizeof s->value, "%u", AGENT_SLOTS);
    } else if (strcmp(s->key, "run-as") == 0) {
        (void)snprintf(s->value, sizeof s->value, "%u", geteuid() == 0 ? AGENT_RUN_AS : 0);
    } else if (strcmp(s->key, "sandbox-min") == 0) {
        (void)snprintf(s->value, sizeof s->value, "basic");
    } else if (strcmp(s->key, "busy") == 0) {
        (void)snprintf(s->value, sizeof s->value, "0");
    }
}

static bool set_value(struct cli_setting *s, const char *value, enum cli_origin origin)
{
    s->origin = origin;
    return snprintf(s->value, sizeof s->value, "%s", value) < (int)sizeof s->value;
}

static const char *from_env(const char *key)
{
    char name[32] = "SHOAL_";
    size_t used = strlen(name);
    for (; *key != '\0' && used + 1 < sizeof name; key++) {
        name[used++] = (char)(*key == '-' ? '_' : toupper((unsigned char)*key));
    }
    name[used] = '\0';
    return getenv(name);
}

/* All values of a flag that may be repeated, comma separated; false when they are too long. */
static bool set_flags(const struct cli *c, struct cli_setting *s)
{
    char flag[32];
    (void)snprintf(flag, sizeof flag, "--%s", s->key);
    size_t used = 0;
    for (size_t i = 0; i < c->given_count; i++) {
        if (strcmp(c->given[i].option->name, flag) != 0) {
            continue;
        }
        bool repeats = strcmp(s->key, "join") == 0 || strcmp(s->key, "label") == 0;
        bool add = s->origin == CLI_FROM_FLAG && repeats;
        used = add ? used : 0;
        bool plain = c->given[i].option->value == NULL;
        int n = snprintf(s->value + used, sizeof s->value - used, "%s%s", add ? "," : "",
                         plain ? "true" : c->given[i].value);
        used += n > 0 ? (size_t)n : 0;
        if (used >= sizeof s->value) {
            return false;
        }
        s->origin = CLI_FROM_FLAG;
    }
    return true;
}

/* The settings file; an absent one is no error unless it was asked for. */
static int read_config(struct cli *c, struct spec_config *config, const char **path)
{
    const char *given = cli_value(c, "--config");
    *path = given != NULL ? given : CONFIG_PATH;
    memset(config, 0, sizeof *config);
    if (given == NULL && access(*path, F_OK) != 0) {
        return CLI_OK;
    }
    size_t size = 0;
    char *text = cli_read_file(c, *path, CONFIG_BYTES_MAX, &size);
    struct spec_errors *errors = calloc(1, sizeof *errors);
    int status = CLI_INTERNAL;
    if (text != NULL && errors != NULL) {
        status = spec_config_parse(text, size, config, errors) == SH_OK
                     ? CLI_OK
                     : cli_fail_spec(c, *path, errors);
    }
    free(text);
    free(errors);
    return status;
}

int cli_settings_read(struct cli *c, struct cli_settings *settings)
{
    const char *path = NULL;
    struct spec_config *config = calloc(1, sizeof *config);
    if (config == NULL) {
        return cli_fail(c, CLI_INTERNAL, "NO_MEMORY", "out of memory");
    }
    memset(settings, 0, sizeof *settings);
    int status = read_config(c, config, &path);
    for (size_t i = 0; status == CLI_OK && i < CLI_SETTINGS_COUNT; i++) {
        struct cli_setting *s = &settings->at[i];
        s->key = KEYS[i];
        set_default(s);
        const char *file = spec_config_value(config, s->key);
        const char *env = from_env(s->key);
        bool good = true;
        if (file[0] != '\0') {
            good = set_value(s, file, CLI_FROM_FILE);
            (void)snprintf(s->file, sizeof s->file, "%s", path);
        }
        if (env != NULL && env[0] != '\0') {
            good = set_value(s, env, CLI_FROM_ENV);
        }
        if (!good || !set_flags(c, s)) {
            status = cli_fail(c, CLI_USAGE, "USAGE", "%s: longer than %u characters", s->key,
                              AGENT_PATH_MAX);
        }
    }
    free(config);
    return status;
}

static const struct cli_setting *find(const struct cli_settings *settings, const char *key)
{
    size_t i = 0;
    while (strcmp(settings->at[i].key, key) != 0) {
        i++;
        SH_CHECK_CMP(i, <, CLI_SETTINGS_COUNT);
    }
    return &settings->at[i];
}

const char *cli_settings_value(const struct cli_settings *settings, const char *key)
{
    return find(settings, key)->value;
}

enum cli_origin cli_settings_origin(const struct cli_settings *settings, const char *key)
{
    return find(settings, key)->origin;
}

static const char *origin_text(const struct cli_setting *s, char out[static 64])
{
    switch (s->origin) {
    case CLI_FROM_DEFAULT:
        return "default";
    case CLI_FROM_FILE:
        return s->file;
    case CLI_FROM_ENV:
        (void)snprintf(out, 64, "environment");
        return out;
    case CLI_FROM_FLAG:
        return "flag";
    }
    SH_UNREACHABLE();
}

int cli_run_config_show(struct cli *c)
{
    static const char *const NAMES[] = {"SETTING", "VALUE", "FROM", NULL};
    struct cli_settings *settings = calloc(1, sizeof *settings);
    struct cli_table t;
    char origin[64];
    int status = settings != NULL ? cli_settings_read(c, settings) : CLI_INTERNAL;
    json_t *map = json_object();
    cli_table_init(&t, NAMES);
    for (size_t i = 0; status == CLI_OK && i < CLI_SETTINGS_COUNT; i++) {
        const struct cli_setting *s = &settings->at[i];
        cli_table_put(&t, s->key);
        cli_table_put(&t, s->value[0] != '\0' ? s->value : "-");
        cli_table_put(&t, origin_text(s, origin));
        (void)json_object_set_new(
            map, s->key,
            json_pack("{s:s, s:s}", "value", s->value, "from", origin_text(s, origin)));
    }
    FILE *nowhere = status == CLI_OK && !c->json ? c->out : NULL;
    cli_table_print(&t, nowhere);
    if (status == CLI_OK && c->json) {
        (void)cli_print_json(c, json_incref(map));
    }
    json_decref(map);
    free(settings);
    return status;
}
