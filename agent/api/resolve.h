/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/api: from names to what they mean now. A job names models, versions and data
 * sets that jobs made; what is replicated names their bytes, so that whatever comes later changes
 * nothing about the job. */
#ifndef API_RESOLVE_H
#define API_RESOLVE_H

#include "api/view.h"

#include "spec/spec.h"

struct api_resolution {
    bool uses;               /* the job file changed, or says more than it did */
    struct jobs_about about; /* of the job */
    bool commands;           /* it runs those of a script that made its models */
    enum spec_sandbox sandbox;
    struct spec_source package; /* of that script; NONE: it has none, or there are several */
};

/* key is that under which the job is submitted ("": none): where it was submitted before, names
 * mean what they meant then. False with the reply made. */
bool api_resolve(const struct api_request *request, struct api_reply *reply, const char *key,
                 struct spec_job *job, struct api_resolution *out);

#endif
