/* SPDX-License-Identifier: Apache-2.0
 *
 * The users that the units of one agent run as, one each. Who shares a user with a unit may kill
 * its commands and read its files, so a range of them belongs to one agent of the machine at a
 * time: a lock on these numbers of the file SCRIPT_USERS_FILE, which goes with the process. */
#ifndef SCRIPT_USERS_H
#define SCRIPT_USERS_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCRIPT_USERS        65u /* ids that units run as: one each, and one for more */
#define SCRIPT_USERS_LOCKS  "/run/lock"
#define SCRIPT_USERS_FILE   "shoal-users" /* in the folder of locks */
#define SCRIPT_USERS_FIRST  60600u        /* of a range that systemd leaves to nobody */
#define SCRIPT_USERS_RANGES 264u          /* that are tried */

struct script_users {
    uint32_t first; /* 0: none */
    int lock;       /* descriptor; -1: none */
};

/* A range that no other agent has: the one from `first` on, else, unless that was asked for (only),
 * the next that is free of those that systemd and useradd leave to nobody. IN_USE: there is none,
 * IO and the like: it cannot be locked. why says so. */
SH_MUST_USE enum sh_err script_users_take(struct script_users *out, const char *locks,
                                          uint32_t first, bool only, char *why, size_t why_size);
void script_users_give(struct script_users *users);

/* Removes what `count` users from `first` on, who run nothing any more, left where all may write:
 * their files in /dev/shm and /dev/mqueue, and shared memory, semaphores and queues of System V. */
void script_users_clear(uint32_t first, uint32_t count);

#endif
