/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/api: answers SERVICE_CALL_BROWSE on the agent that has a data set's files. */
#ifndef API_BROWSE_H
#define API_BROWSE_H

#include "service.h"

/* ctx is the struct service. */
enum sh_err api_browse_call(void *ctx, struct sh_span request, uint8_t *reply, size_t capacity,
                            size_t *reply_size);

#endif
