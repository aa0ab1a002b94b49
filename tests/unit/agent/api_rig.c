/* SPDX-License-Identifier: Apache-2.0 */
#include "api_rig.h"
#include "tst.h"

#include "base/host/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct service *service;
struct api *api;
struct cli_http *http;

void start(void)
{
    char why[256] = "";
    struct api_config config = {.listen = "127.0.0.1:0"};
    sh_host_init();
    service = memory_service_open();
    if (api_start(&config, service, &api, why, sizeof why) != SH_OK) {
        tst_fail(__FILE__, __LINE__, "%s", why);
    }
    struct cli_peers peers = {.count = 1};
    (void)snprintf(peers.at[0], sizeof peers.at[0], "127.0.0.1:%u", api_port(api));
    http = cli_http_open(&peers);
    EXPECT(http != NULL);
}

void stop(void)
{
    cli_http_close(http);
    api_stop(api);
    memory_service_close(service);
}

/* The parsed body of a call that must answer with status; released with json_decref. */
json_t *call_with(const struct cli_call *call, unsigned status)
{
    struct cli_answer answer;
    cli_http_call(http, call, &answer);
    if (answer.status != status) {
        tst_fail(__FILE__, __LINE__, "%s %s: %u, not %u: %s", call->method, call->path,
                 answer.status, status, answer.body);
    }
    json_t *out = json_loads(answer.body, JSON_REJECT_DUPLICATES, NULL);
    EXPECT(out != NULL);
    free(answer.body);
    return out;
}

json_t *call(const char *method, const char *path, const char *body, unsigned status)
{
    struct cli_call c = {.method = method,
                         .path = path,
                         .body = body,
                         .size = body != NULL ? strlen(body) : 0,
                         .timeout_s = 20};
    return call_with(&c, status);
}

const char *text_of(const json_t *value, const char *key)
{
    const char *text = json_string_value(json_object_get(value, key));
    EXPECT(text != NULL);
    return text;
}

long long number_of(const json_t *value, const char *key)
{
    EXPECT(json_is_integer(json_object_get(value, key)));
    return json_integer_value(json_object_get(value, key));
}

uint64_t submit(const char *spec)
{
    json_t *job = call("POST", "/api/v1/jobs", spec, 201);
    uint64_t id = (uint64_t)number_of(job, "id");
    json_decref(job);
    return id;
}
