/* SPDX-License-Identifier: Apache-2.0 */
#include "job_text.h"
#include "tst.h"

#include "base/host/host.h"

#include <stdio.h>
#include <string.h>

void job_text_submit(const char *text, struct jobs_cmd *cmd, struct spec_job *job)
{
    static struct spec_errors errors;
    static char canonical[SH_SPEC_BYTES_MAX];
    size_t size = 0;
    if (spec_parse(text, strlen(text), job, &errors) != SH_OK) {
        tst_fail(__FILE__, __LINE__, "%s: %s", errors.at[0].field, errors.at[0].message);
    }
    EXPECT_EQ(spec_canonical(job, canonical, sizeof canonical, &size), SH_OK);
    *cmd = (struct jobs_cmd){.type = JOBS_SUBMIT};
    struct jobs_submit *s = &cmd->u.submit;
    (void)snprintf(s->name, sizeof s->name, "%s", job->name);
    s->spec = (struct sh_span){.at = (const uint8_t *)canonical, .size = size};
    sh_blake2b(s->spec_digest, sizeof s->spec_digest, canonical, size);
}
