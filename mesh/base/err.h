/* SPDX-License-Identifier: Apache-2.0
 *
 * One error enumeration for the whole program. The numbers travel on the wire: never renumber, only
 * append. The text tells an operator what happened; the edge (CLI, API) adds names and values. */
#ifndef SH_BASE_ERR_H
#define SH_BASE_ERR_H

#include "base/check.h"

#define SH_ERR_MAP(X)                                                                              \
    X(0, OK, "ok")                                                                                 \
    X(1, INVALID, "the request is not valid")                                                      \
    X(2, CORRUPT, "the bytes are damaged or were not written by this program")                     \
    X(3, VERSION, "written by a version this program does not understand")                         \
    X(4, LIMIT, "a documented limit is exceeded")                                                  \
    X(5, FULL, "busy: a queue or table is full, try again")                                        \
    X(6, NOT_FOUND, "no such object")                                                              \
    X(7, EXISTS, "it exists already with other contents")                                          \
    X(8, NOT_LEADER, "this agent is not the coordinator")                                          \
    X(9, NO_QUORUM, "no quorum: a majority of the voters cannot be reached")                       \
    X(10, TIMEOUT, "the deadline passed")                                                          \
    X(11, UNREACHABLE, "the peer cannot be reached")                                               \
    X(12, DENIED, "refused: wrong cluster secret or missing permission")                           \
    X(13, CLUSTER, "this belongs to another cluster")                                              \
    X(14, STALE, "superseded by a newer order")                                                    \
    X(15, CONFLICT, "not possible in the present state")                                           \
    X(16, IO, "a file, disk or socket operation failed")                                           \
    X(17, NO_SPACE, "the disk is full")                                                            \
    X(18, IN_USE, "in use by another process")                                                     \
    X(19, DIVERGED, "the computation produced a value that is not finite")                         \
    X(20, CANCELLED, "stopped on request")                                                         \
    X(21, NO_MEMORY, "out of memory")                                                              \
    X(22, UNSUPPORTED, "not supported here")                                                       \
    X(23, GONE, "what was asked for is not kept any more: list again")

enum sh_err {
#define X(number, name, text) SH_ERR_##name = number,
    SH_ERR_MAP(X)
#undef X
        SH_ERR_COUNT = 24
};

#define SH_OK SH_ERR_OK

/* "NO_QUORUM"; "UNKNOWN" for a number this program does not know. */
const char *sh_err_name(enum sh_err err);
const char *sh_err_text(enum sh_err err);
/* A number from the wire; anything unknown becomes SH_ERR_INVALID. */
enum sh_err sh_err_from_u32(uint32_t number);

#endif
