/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/api: answers SERVICE_CALL_DATASET on the agent that has the files. */
#ifndef API_DATASETS_H
#define API_DATASETS_H

#include "service.h"

/* ctx is the struct service. */
enum sh_err api_dataset_call(void *ctx, struct sh_span request, uint8_t *reply, size_t capacity,
                             size_t *reply_size);

#endif
