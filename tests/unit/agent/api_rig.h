/* SPDX-License-Identifier: Apache-2.0
 *
 * One agent's HTTP interface on a real socket, over the service in memory, and a client of it. */
#ifndef TEST_API_RIG_H
#define TEST_API_RIG_H

#include "api/api.h"
#include "cli/http.h"
#include "memory_service.h"
#include "spec/json.h"

#define NOOP "api: shoal/v1\nkind: noop\nname: n\nunits: 2\n"
#define TRAIN                                                                                      \
    "api: shoal/v1\nkind: train\nname: t\ndata: {train: builtin:digits}\n"                         \
    "model: {input: [1, 28, 28], layers: [flatten, {dense: 10}]}\n"

extern struct service *service;
extern struct api *api;
extern struct cli_http *http;

void start(void);
void stop(void);
/* The parsed body of a call that must answer with status; released with json_decref. */
json_t *call_with(const struct cli_call *call, unsigned status);
json_t *call(const char *method, const char *path, const char *body, unsigned status);
/* Fields that must be there. */
const char *text_of(const json_t *value, const char *key);
long long number_of(const json_t *value, const char *key);
/* The id of the job that it makes. */
uint64_t submit(const char *spec);

#endif
