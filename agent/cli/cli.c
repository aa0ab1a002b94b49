/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include "base/host/host.h"
#include "cli/format.h"
#include "cli/parse.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define COLUMNS_MIN   40u
#define COLUMNS_MAX   400u
#define PATH_BYTES    1024u
#define PEER_FALLBACK "127.0.0.1:8711"

static unsigned columns_of(FILE *out)
{
    struct winsize size;
    int fd = fileno(out);
    if (fd < 0 || ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col < COLUMNS_MIN) {
        return 80;
    }
    return size.ws_col < COLUMNS_MAX ? size.ws_col : COLUMNS_MAX;
}

/* Verbs of two words whose first is known get the second ones named. */
static int fail_verb(struct cli *c, const char *word)
{
    char seconds[128] = "";
    size_t used = 0;
    size_t n = strlen(word);
    for (size_t i = 0; i < CLI_VERB_COUNT; i++) {
        const char *name = CLI_VERBS[i].name;
        if (strncmp(name, word, n) == 0 && name[n] == ' ' && used < sizeof seconds) {
            int more = snprintf(seconds + used, sizeof seconds - used, " %s", name + n + 1);
            used += more > 0 ? (size_t)more : 0;
        }
    }
    if (used > 0) {
        return cli_fail(c, CLI_USAGE, "USAGE", "%s needs one of:%s", word, seconds);
    }
    return cli_fail(c, CLI_USAGE, "USAGE", "unknown verb %s; shoal help lists them all", word);
}

int cli_main(int argc, char **argv, const struct cli_programs *programs, FILE *out, FILE *err)
{
    size_t used = 0;
    size_t count = argc > 1 ? (size_t)argc - 1 : 0;
    struct cli c = {.out = out, .err = err, .programs = programs};
    sh_host_init();
    if (count == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        cli_print_verbs(count == 0 ? err : out);
        return count == 0 ? CLI_USAGE : CLI_OK;
    }
    c.verb = cli_find_verb(argv + 1, count, &used);
    if (c.verb == NULL) {
        return fail_verb(&c, argv[1]);
    }
    c.terminal = fileno(out) >= 0 && isatty(fileno(out)) != 0;
    c.columns = columns_of(out);
    int status = cli_parse(&c, argv + 1 + used, count - used);
    if (status == CLI_OK && cli_flag(&c, "--help")) {
        cli_print_help(out, c.verb);
        return CLI_OK;
    }
    if (status == CLI_OK && c.verb->peer) {
        status = cli_connect(&c);
    }
    if (status == CLI_OK) {
        status = c.verb->run(&c);
    }
    cli_http_close(c.http);
    if (fflush(out) != 0 && status == CLI_OK) {
        status = cli_fail(&c, CLI_INTERNAL, "IO", "standard output: %s", strerror(errno));
    }
    return status;
}

static json_t *error_object(const char *code, const char *message)
{
    return json_pack("{s:{s:s, s:s, s:s, s:s}}", "error", "code", code, "field", "", "value", "",
                     "message", message);
}

int cli_fail(struct cli *c, enum cli_exit status, const char *code, const char *format, ...)
{
    char message[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    if (c->json) {
        (void)cli_print_json(c, error_object(code, message));
    } else {
        (void)fprintf(c->err, "error: %s\n", message);
    }
    return (int)status;
}

int cli_fail_spec(struct cli *c, const char *file, const struct spec_errors *errors)
{
    json_t *list = json_array();
    for (size_t i = 0; i < errors->count; i++) {
        const struct spec_error *e = &errors->at[i];
        char line[512];
        (void)spec_error_text(e, file, line, sizeof line);
        if (!c->json) {
            (void)fprintf(c->err, "error: %s\n", line);
        }
        (void)json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:i, s:i}", "code",
                                                    "INVALID", "field", e->field, "value", e->value,
                                                    "message", e->message, "line", (int)e->line,
                                                    "column", (int)e->column));
    }
    json_t *first = json_incref(json_array_get(list, 0));
    json_t *both = json_pack("{s:o, s:o}", "error", first, "errors", list);
    if (c->json) {
        (void)cli_print_json(c, both);
    } else {
        json_decref(both);
    }
    return CLI_INVALID;
}

enum cli_exit cli_exit_of(const char *code)
{
    static const struct {
        const char *code;
        enum cli_exit status;
    } TABLE[] = {
        {"NOT_FOUND", CLI_NOT_FOUND},    {"EXISTS", CLI_CONFLICT},
        {"CONFLICT", CLI_CONFLICT},      {"STALE", CLI_CONFLICT},
        {"GONE", CLI_CONFLICT},          {"CANCELLED", CLI_CONFLICT},
        {"IN_USE", CLI_CONFLICT},        {"DENIED", CLI_DENIED},
        {"CLUSTER", CLI_DENIED},         {"NO_QUORUM", CLI_UNREACHABLE},
        {"NOT_LEADER", CLI_UNREACHABLE}, {"UNREACHABLE", CLI_UNREACHABLE},
        {"FULL", CLI_UNREACHABLE},       {"TIMEOUT", CLI_TIMEOUT},
        {"INVALID", CLI_INVALID},        {"CORRUPT", CLI_INVALID},
        {"VERSION", CLI_INVALID},        {"LIMIT", CLI_INVALID},
        {"DIVERGED", CLI_INVALID},       {"USAGE", CLI_USAGE},
    };
    for (size_t i = 0; i < SH_COUNT(TABLE); i++) {
        if (strcmp(TABLE[i].code, code) == 0) {
            return TABLE[i].status;
        }
    }
    return CLI_INTERNAL;
}

/* "error: FIELD: VALUE: MESSAGE". What an agent says about "input" is about the file that was sent,
 * and a message that begins with the value needs it once. */
static void print_error(struct cli *c, const json_t *error)
{
    static const char INPUT[] = "the input";
    const char *field = cli_text(error, "field");
    const char *value = cli_text(error, "value");
    const char *message = cli_text(error, "message");
    if (c->input != NULL && strcmp(field, "input") == 0) {
        bool named = strncmp(message, INPUT, sizeof INPUT - 1) == 0;
        (void)fprintf(c->err, "error: %s%s%s\n", c->input, named ? "" : ": ",
                      message + (named ? sizeof INPUT - 1 : 0));
        return;
    }
    bool once = value[0] == '\0' || strncmp(message, value, strlen(value)) == 0;
    (void)fprintf(c->err, "error: %s%s%s%s%s\n", field, field[0] != '\0' ? ": " : "",
                  once ? "" : value, once ? "" : ": ", message);
}

int cli_fail_answer(struct cli *c, struct cli_answer *answer)
{
    int status = CLI_UNREACHABLE;
    json_t *body = json_loads(answer->body != NULL ? answer->body : "", 0, NULL);
    const json_t *error = json_object_get(body, "error");
    if (answer->status == 0) {
        status = cli_fail(c, CLI_UNREACHABLE, "UNREACHABLE", "no agent answers: %s", answer->body);
    } else if (error == NULL) {
        status = cli_fail(c, CLI_INTERNAL, "INTERNAL", "%s: not an agent of shoal? It answered %u",
                          answer->peer, answer->status);
    } else if (c->json) {
        status = (int)cli_exit_of(cli_text(error, "code"));
        (void)cli_print_json(c, json_incref(body));
    } else {
        status = (int)cli_exit_of(cli_text(error, "code"));
        print_error(c, error);
    }
    json_decref(body);
    free(answer->body);
    answer->body = NULL;
    return status;
}

static bool add_peers(struct cli_peers *peers, const char *list)
{
    while (*list != '\0') {
        size_t n = strcspn(list, ", ");
        if (n > SH_ADDR_MAX || (n > 0 && peers->count == CLI_PEERS_MAX)) {
            return false;
        }
        if (n > 0) {
            memcpy(peers->at[peers->count], list, n);
            peers->at[peers->count][n] = '\0';
            peers->count++;
        }
        list += n + (list[n] != '\0' ? 1 : 0);
    }
    return true;
}

static int read_token(struct cli *c, struct cli_peers *peers)
{
    const char *path = cli_value(c, "--token-file");
    path = path != NULL ? path : getenv("SHOAL_TOKEN_FILE");
    if (path == NULL) {
        return CLI_OK;
    }
    size_t size = 0;
    char *text = cli_read_file(c, path, sizeof peers->token, &size);
    if (text == NULL) {
        return CLI_INTERNAL;
    }
    size_t n = strcspn(text, " \t\r\n");
    memcpy(peers->token, text, n < sizeof peers->token ? n : sizeof peers->token - 1);
    free(text);
    return CLI_OK;
}

int cli_connect(struct cli *c)
{
    struct cli_peers peers = {0};
    bool good = true;
    for (size_t i = 0; i < c->given_count; i++) {
        if (strcmp(c->given[i].option->name, "--peer") == 0) {
            good = good && add_peers(&peers, c->given[i].value);
        }
    }
    const char *list = getenv("SHOAL_PEER");
    if (peers.count == 0 && list != NULL) {
        good = add_peers(&peers, list);
    }
    if (peers.count == 0) {
        good = good && add_peers(&peers, PEER_FALLBACK);
    }
    if (!good) {
        return cli_fail(c, CLI_USAGE, "USAGE", "--peer: at most %u addresses of %u characters",
                        CLI_PEERS_MAX, SH_ADDR_MAX);
    }
    int status = read_token(c, &peers);
    if (status != CLI_OK) {
        return status;
    }
    c->http = cli_http_open(&peers);
    return c->http != NULL ? CLI_OK : cli_fail(c, CLI_INTERNAL, "NO_MEMORY", "out of memory");
}

json_t *cli_ask(struct cli *c, const struct cli_call *call, int *status)
{
    struct cli_answer answer;
    cli_http_call(c->http, call, &answer);
    if (answer.status / 100 != 2) {
        *status = cli_fail_answer(c, &answer);
        return NULL;
    }
    json_t *value = json_loads(answer.body, JSON_REJECT_DUPLICATES, NULL);
    if (value == NULL) {
        *status = cli_fail(c, CLI_INTERNAL, "INTERNAL", "%s: its answer is not JSON", answer.peer);
    } else {
        *status = CLI_OK;
    }
    free(answer.body);
    return value;
}

char *cli_path(struct cli *c, const char *prefix, const char *word, const char *suffix)
{
    char *escaped = cli_http_escape(c->http, word);
    char *path = NULL;
    if (escaped != NULL && strlen(escaped) < PATH_BYTES) {
        path = malloc(PATH_BYTES);
    }
    if (path != NULL) {
        int n = snprintf(path, PATH_BYTES, "/api/v1%s%s%s", prefix, escaped, suffix);
        bool query = strchr(path, '?') != NULL;
        if (cli_flag(c, "--stale") && n > 0 && (size_t)n < PATH_BYTES) {
            (void)snprintf(path + n, PATH_BYTES - (size_t)n, "%sstale=1", query ? "&" : "?");
        }
    }
    free(escaped);
    return path;
}

/* How old what follows may be, apart from the results. */
static void say_stale(const struct cli *c, const json_t *value)
{
    const json_t *stale = json_object_get(value, "stale");
    const json_t *age = json_object_get(stale, "age_us");
    char text[CLI_FORMAT_BYTES];
    if (stale == NULL || c->json) {
        return;
    }
    cli_format_duration((uint64_t)json_integer_value(age), text);
    (void)fprintf(c->err, "stale: as of log index %lld, known to be the newest state %s%s\n",
                  cli_integer(stale, "index"), json_is_integer(age) ? text : "never",
                  json_is_integer(age) ? " ago" : "");
}

json_t *cli_get(struct cli *c, const char *prefix, const char *word, const char *suffix,
                int *status)
{
    char *path = cli_path(c, prefix, word, suffix);
    if (path == NULL) {
        *status = cli_fail(c, CLI_USAGE, "USAGE", "%s: too long", word);
        return NULL;
    }
    struct cli_call call = {.method = "GET", .path = path, .timeout_s = CLI_CALL_S};
    json_t *value = cli_ask(c, &call, status);
    free(path);
    say_stale(c, value);
    return value;
}

int cli_print_json(struct cli *c, json_t *value)
{
    if (value != NULL && json_dumpf(value, c->out, SPEC_JSON_PRINT) == 0) {
        (void)fputc('\n', c->out);
    }
    json_decref(value);
    return CLI_OK;
}

const char *cli_text(const json_t *value, const char *key)
{
    const char *text = json_string_value(json_object_get(value, key));
    return text != NULL ? text : "";
}

long long cli_integer(const json_t *value, const char *key)
{
    return json_integer_value(json_object_get(value, key));
}

double cli_real(const json_t *value, const char *key)
{
    const json_t *number = json_object_get(value, key);
    return json_is_number(number) ? json_number_value(number) : (double)NAN;
}

char *cli_read_file(struct cli *c, const char *path, size_t max, size_t *size)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *file = standard ? stdin : fopen(path, "rbe");
    size_t capacity = 65536;
    char *text = malloc(capacity + 1);
    *size = 0;
    if (file == NULL || text == NULL) {
        (void)cli_fail(c, CLI_INTERNAL, "IO", "%s: %s", path, strerror(errno));
        free(text);
        return NULL;
    }
    size_t n = fread(text, 1, capacity, file);
    while (n > 0) {
        *size += n;
        if (*size > max) {
            break;
        }
        if (*size == capacity) {
            capacity *= 2;
            char *longer = realloc(text, capacity + 1);
            if (longer == NULL) {
                break;
            }
            text = longer;
        }
        n = fread(text + *size, 1, capacity - *size, file);
    }
    int cause = ferror(file) != 0 ? errno : 0; /* of a folder, for example */
    if (!standard) {
        (void)fclose(file); /* was read only */
    }
    if (cause != 0 || n > 0) {
        (void)(cause != 0
                   ? cli_fail(c, CLI_INTERNAL, "IO", "%s: %s", path, strerror(cause))
                   : cli_fail(c, CLI_INTERNAL, "IO", "%s: larger than %zu bytes", path, max));
        free(text);
        return NULL;
    }
    text[*size] = '\0';
    return text;
}
