/* SPDX-License-Identifier: Apache-2.0
 *
 * Exit statuses of every verb; documented, stable, tested. Never renumber. */
#ifndef CLI_EXIT_H
#define CLI_EXIT_H

enum cli_exit {
    CLI_OK = 0,
    CLI_INTERNAL = 1,    /* unexpected; also: a local file cannot be read or written */
    CLI_USAGE = 2,       /* unknown verb or option, missing argument */
    CLI_NOT_FOUND = 3,   /* no such job, model, data set, node */
    CLI_CONFLICT = 4,    /* not possible in the present state */
    CLI_DENIED = 5,      /* missing or wrong token, wrong secret, directory of another cluster */
    CLI_UNREACHABLE = 6, /* no peer answers, or no quorum; may be repeated */
    CLI_TIMEOUT = 7,     /* waited in vain; the state is unchanged or unknown */
    CLI_INVALID = 8,     /* the job file, or an input, is not valid */
    CLI_JOB_FAILED = 10, /* submit --wait, watch: the job failed */
    CLI_JOB_STOPPED = 11 /* submit --wait, watch: somebody stopped it */
};

#endif
