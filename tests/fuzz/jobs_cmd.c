/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a command of the jobs core. What decodes must encode to the bytes it came from
 * (those behind it are ignored, fields are only ever added at the end). */
#include "jobs/cmd.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[JOBS_CMD_BYTES_MAX];
    struct jobs_cmd cmd;
    if (jobs_cmd_decode(data, size, &cmd) != SH_OK) {
        return 0;
    }
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    SH_CHECK_CMP(jobs_cmd_encode(&cmd, &w), ==, SH_OK);
    SH_CHECK_CMP(w.used, <=, size);
    SH_CHECK_CMP(memcmp(bytes, data, w.used), ==, 0);
    return 0;
}
