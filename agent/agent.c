/* SPDX-License-Identifier: Apache-2.0 */
#include "agent.h"

#include "api/api.h"
#include "bulk.h"
#include "cli/exit.h"
#include "founding.h"
#include "housekeeping.h"
#include "inventory.h"
#include "journal.h"
#include "loop.h"
#include "parts.h"
#include "planner.h"
#include "records.h"
#include "script/unit.h"
#include "runners.h"
#include "stores.h"
#include "train/train.h"
#include "vitals.h"

#include "base/host/host.h"
#include "kernels/kn.h"
#include "store/kv_rocks.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* What to say to the operator when starting fails; every open step fills it. */
struct reason {
    char text[DIR_TEXT_BYTES];
};

static void because(struct reason *why, const char *what, enum sh_err err)
{
    (void)snprintf(why->text, sizeof why->text, "%s: %s", what, sh_err_text(err));
}

static int exit_of(enum sh_err err)
{
    static const struct {
        enum sh_err err;
        int status;
    } MAP[] = {{SH_OK, CLI_OK},
               {SH_ERR_DENIED, CLI_DENIED},
               {SH_ERR_CLUSTER, CLI_DENIED},
               {SH_ERR_IN_USE, CLI_CONFLICT},
               {SH_ERR_CONFLICT, CLI_CONFLICT},
               {SH_ERR_EXISTS, CLI_CONFLICT},
               {SH_ERR_STALE, CLI_CONFLICT},
               {SH_ERR_VERSION, CLI_CONFLICT},
               {SH_ERR_INVALID, CLI_USAGE}};
    for (size_t i = 0; i < SH_COUNT(MAP); i++) {
        if (MAP[i].err == err) {
            return MAP[i].status;
        }
    }
    return CLI_INTERNAL;
}

/* ---- the cluster this directory belongs to ---- */

static void secret_path(const struct service *s, char *out)
{
    if (s->options->secret_file[0] != '\0') {
        (void)snprintf(out, DIR_PATH_MAX + 1, "%s", s->options->secret_file);
    } else {
        dir_entry(s->dir, "secret", out);
    }
}

/* The secret of the cluster: made by --new, given by --secret, or kept in the directory. */
static enum sh_err load_secret(struct service *s, bool fresh, struct trust_secret *secret,
                               struct reason *why)
{
    char path[DIR_PATH_MAX + 1];
    char text[TRUST_WHY_MAX];
    const struct agent_options *o = s->options;
    if (fresh && !o->new_cluster && o->join_count == 0) {
        (void)snprintf(why->text, sizeof why->text,
                       "%s is empty. To start a cluster: --new. To join one: --join HOST:PORT "
                       "--secret FILE (the secret of that cluster)",
                       dir_path(s->dir));
        return SH_ERR_INVALID;
    }
    secret_path(s, path);
    enum sh_err err = SH_ERR_NOT_FOUND;
    if (fresh && o->new_cluster) {
        err = trust_secret_create(path, secret, text);
    }
    if (err == SH_ERR_NOT_FOUND || err == SH_ERR_EXISTS) {
        err = trust_secret_load(path, secret, text);
    }
    if (err != SH_OK) {
        (void)snprintf(why->text, sizeof why->text, "%s", text);
    }
    return err;
}

static enum sh_err has_mark(const struct service *s, const char *name, bool *has,
                            struct reason *why)
{
    char byte;
    size_t used = 0;
    enum sh_err err = dir_read(s->dir, name, &byte, sizeof byte, &used, why->text);
    *has = err == SH_OK;
    return err == SH_ERR_NOT_FOUND ? SH_OK : err;
}

static enum sh_err open_trust(struct service *s, struct reason *why)
{
    char path[DIR_PATH_MAX + 1];
    char text[TRUST_WHY_MAX];
    uint8_t cluster[SH_CLUSTER_ID_BYTES];
    struct trust_secret secret;
    dir_entry(s->dir, "identity", path);
    bool fresh = trust_dir_cluster(path, cluster, text) == SH_ERR_NOT_FOUND;
    enum sh_err err = load_secret(s, fresh, &secret, why);
    if (err == SH_OK && fresh && s->options->new_cluster) {
        err = dir_write(s->dir, STORES_FOUNDING, "1", 1, why->text);
    }
    if (err != SH_OK) {
        return err;
    }
    err = trust_open(&s->trust, path, &secret, text);
    trust_secret_wipe(&secret);
    if (err != SH_OK) {
        (void)snprintf(why->text, sizeof why->text, "%s", text);
    }
    return err;
}

/* ---- stores ---- */

/* A voter that lost or forgot a part of its log or its votes must not vote under its old identity:
 * the directory as a whole is put aside, and a new agent fetches the state. */
static void say_lost(const struct service *s, const char *path, enum sh_err err, const char *text,
                     struct reason *why)
{
    const char *data = dir_path(s->dir);
    bool secret_inside = s->options->secret_file[0] == '\0';
    (void)snprintf(why->text, sizeof why->text,
                   "%s is %s (%s). This agent must not go on as it was: mv %s %s.damaged; then "
                   "shoal agent --data %s --join HOST:%u --secret %s%s --name NEW_NAME starts a "
                   "new one that fetches the cluster's state",
                   path, err == SH_ERR_CORRUPT ? "damaged" : "gone", text, data, data, data,
                   AGENT_LISTEN_PORT, secret_inside ? data : s->options->secret_file,
                   secret_inside ? ".damaged/secret" : "");
}

/* options without their path. */
static enum sh_err open_kv(struct service *s, const char *name, struct kv_rocks_options options,
                           struct kv **out, struct reason *why)
{
    char path[DIR_PATH_MAX + 1];
    char text[KV_TEXT_BYTES];
    dir_entry(s->dir, name, path);
    options.path = path;
    enum sh_err err = kv_rocks_open(&options, out, text);
    if (err == SH_ERR_CORRUPT || err == SH_ERR_NOT_FOUND) {
        say_lost(s, path, err, text, why);
    } else if (err != SH_OK) {
        (void)snprintf(why->text, sizeof why->text, "%s", text);
    }
    return err;
}

static void store_failed(void *ctx, enum sh_err err, const char *text)
{
    (void)ctx;
    journal_error("the state store failed, stopping at once: %s: %s", sh_err_text(err), text);
    _Exit(CLI_INTERNAL);
}

/* Blobs, metrics and logs have copies on other agents: a damaged store of them is put aside, and
 * the agent goes on with an empty one under its identity. */
static enum sh_err open_bulk(struct service *s, struct reason *why)
{
    char moved[DIR_PATH_MAX + 1];
    struct kv_rocks_options options = {
        .cfs = stores_bulk_families, .cf_count = STORES_BULK_CFS, .create = true, .yields = true};
    enum sh_err err = open_kv(s, STORES_BULK, options, &s->bulk_kv, why);
    if (err != SH_ERR_CORRUPT) {
        return err;
    }
    err = dir_quarantine(s->dir, STORES_BULK, moved, why->text);
    if (err == SH_OK) {
        journal_error("the store of blobs, metrics and logs was damaged and is kept as %s; this "
                      "agent begins an empty one, copies are on other agents",
                      moved);
        err = open_kv(s, STORES_BULK, options, &s->bulk_kv, why);
    }
    return err;
}

/* A voter that lost its log could vote twice in a term: once there was one, it is never made anew.
 */
static enum sh_err open_kvs(struct service *s, struct reason *why)
{
    bool stored = false;
    enum sh_err err = has_mark(s, STORES_STORED, &stored, why);
    if (err == SH_OK) {
        struct kv_rocks_options state = {.cfs = stores_state_families,
                                         .cf_count = STORES_STATE_CFS,
                                         .create = !stored,
                                         .redo = true};
        err = open_kv(s, STORES_STATE, state, &s->state, why);
    }
    err = err != SH_OK ? err : open_bulk(s, why);
    if (err == SH_OK && !stored) {
        err = dir_write(s->dir, STORES_STORED, "1", 1, why->text);
    }
    return err;
}

static enum sh_err open_log(struct service *s, struct reason *why)
{
    struct fsm_fault fault = {.stop = store_failed, .ctx = s};
    enum sh_err err = wal_open(s->state, CF_LOG, CF_META, &s->boot, &s->wal);
    if (err == SH_OK) {
        err = fsm_open(s->state, CF_FSM, &fault, &s->fsm, &s->applied);
    }
    if (err == SH_OK && s->boot.has_identity &&
        (memcmp(s->boot.identity.cluster, s->trust.cluster, SH_CLUSTER_ID_BYTES) != 0 ||
         memcmp(s->boot.identity.node, s->trust.node, SH_NODE_ID_BYTES) != 0)) {
        (void)snprintf(why->text, sizeof why->text,
                       "%s: its log belongs to another cluster or agent than its identity",
                       dir_path(s->dir));
        return SH_ERR_CLUSTER;
    }
    if (err == SH_OK && !s->boot.has_identity) {
        memcpy(s->boot.identity.cluster, s->trust.cluster, SH_CLUSTER_ID_BYTES);
        memcpy(s->boot.identity.node, s->trust.node, SH_NODE_ID_BYTES);
        err = wal_put_identity(s->wal, &s->boot.identity);
    }
    if (err != SH_OK) {
        char text[KV_TEXT_BYTES];
        char path[DIR_PATH_MAX + 1];
        dir_entry(s->dir, STORES_STATE, path);
        kv_error_text(s->state, text);
        if (err == SH_ERR_CORRUPT) {
            say_lost(s, path, err, text[0] != '\0' ? text : sh_err_text(err), why);
        } else {
            (void)snprintf(why->text, sizeof why->text, "%s: %s %s", path, sh_err_text(err), text);
        }
    }
    return err;
}

static enum sh_err open_stores(struct service *s, struct reason *why)
{
    enum sh_err err = open_kvs(s, why);
    if (err == SH_OK) {
        err = open_log(s, why);
    }
    if (err == SH_OK) {
        err = blob_open(s->bulk_kv, CF_BLOB, &s->blob);
        s->series = (struct series){.kv = s->bulk_kv, .cf = CF_SERIES};
        s->life = sh_random_u64();
        if (err == SH_OK) {
            struct blob_leases leases = {.life = s->life, .grace_us = s->options->collect_grace_us};
            blob_lease_begin(s->blob, &leases);
        }
        if (err != SH_OK) {
            because(why, "the blob store", err);
        }
    }
    return err;
}

/* ---- addresses ---- */

/* An address in a documentation network: asking for the way there sends nothing. */
static const char *const SOMEWHERE = "192.0.2.1:9";

static enum sh_err own_address(const struct service *s, const struct link_addr *listened,
                               struct link_addr *out)
{
    struct link_addr peer;
    uint32_t count = 0;
    *out = *listened;
    if (s->options->advertise[0] != '\0') {
        enum sh_err err = link_addr_resolve(s->options->advertise, listened->port, out, 1, &count);
        return err == SH_OK && count == 0 ? SH_ERR_NOT_FOUND : err;
    }
    if (!link_addr_is_unspecified(listened)) {
        return SH_OK;
    }
    bool known =
        s->options->join_count > 0 &&
        link_addr_resolve(s->options->join[0], AGENT_LISTEN_PORT, &peer, 1, &count) == SH_OK &&
        count > 0;
    if (!known && link_addr_parse(SOMEWHERE, 0, &peer) != SH_OK) {
        return SH_ERR_INVALID;
    }
    if (link_addr_towards(&peer, out) != SH_OK && link_addr_parse("127.0.0.1:1", 0, out) != SH_OK) {
        return SH_ERR_INVALID;
    }
    out->port = listened->port;
    return SH_OK;
}

static enum sh_err open_link(struct service *s, struct gossip_options *gossip, struct reason *why)
{
    struct link_options options = {.trust = &s->trust};
    uint32_t count = 0;
    enum sh_err err = link_addr_resolve(s->options->listen, AGENT_LISTEN_PORT,
                                        &options.listen[LINK_CONTROL], 1, &count);
    if (err != SH_OK || count == 0) {
        (void)snprintf(why->text, sizeof why->text, "--listen %s: not an address of this machine",
                       s->options->listen);
        return SH_ERR_INVALID;
    }
    options.listen[LINK_BULK] = options.listen[LINK_CONTROL];
    if (options.listen[LINK_CONTROL].port != 0) {
        options.listen[LINK_BULK].port++;
    }
    err = own_address(s, &options.listen[LINK_CONTROL], &gossip->self);
    if (err != SH_OK) {
        (void)snprintf(why->text, sizeof why->text, "--advertise %s: not an address",
                       s->options->advertise);
        return SH_ERR_INVALID;
    }
    options.advertise[LINK_CONTROL] = gossip->self;
    options.advertise[LINK_BULK] = gossip->self;
    options.advertise[LINK_BULK].port = 0;
    options.advertise[LINK_CONTROL].port = 0;
    options.gossip = gossip->self;
    char text[LINK_TEXT_MAX + 1];
    err = link_open(&options, &s->link, text);
    if (err != SH_OK) {
        (void)snprintf(why->text, sizeof why->text, "%s", text);
        return err;
    }
    gossip->listen = link_plane_addr(link_plane_of(s->link, LINK_CONTROL));
    gossip->self.port = gossip->listen.port;
    s->self.bulk_port = link_plane_addr(link_plane_of(s->link, LINK_BULK)).port;
    link_addr_format(&gossip->self, s->self.addr);
    return SH_OK;
}

static void describe_self(struct service *s)
{
    inventory_read(&s->self, s->options->threads);
    memcpy(s->self.id, s->trust.node, SH_NODE_ID_BYTES);
    (void)snprintf(s->self.name, sizeof s->self.name, "%s", s->options->name);
    (void)snprintf(s->self.zone, sizeof s->self.zone, "%s", s->options->zone);
    (void)snprintf(s->self.labels, sizeof s->self.labels, "%s", s->options->labels);
    s->self.slots = (uint16_t)(s->options->slots > 0 ? s->options->slots : AGENT_SLOTS);
    char text[KN_CLASS_BYTES];
    char hex[2 * WIRE_CLASS_BYTES + 1];
    (void)inventory_class_text(text, sizeof text);
    sh_hex(hex, s->self.class, WIRE_CLASS_BYTES);
    journal_info("arithmetic class %.8s, BLAS core %s, kernels %s, %u cores", hex, kn_blas_core(),
                 s->self.isa, (unsigned)s->self.cpus);
}

/* ---- parts ---- */

static enum sh_err post_frame(void *ctx, enum calls_plane plane,
                              const uint8_t node[SH_NODE_ID_BYTES], enum calls_frame frame,
                              const void *bytes, size_t size)
{
    struct service *s = ctx;
    struct sh_span span = {.at = bytes, .size = size};
    uint16_t type = frame == CALLS_REQUEST ? FRAME_CALL : FRAME_ANSWER;
    return plane == CALLS_BULK ? bulk_send(s->bulk, node, type, (struct sh_span){0}, span)
                               : loop_send(s->loop, node, type, span);
}

static bool tables_are_quiet(void *ctx)
{
    struct service *s = ctx;
    return apply_await_held(s->apply);
}

static enum sh_err open_parts(struct service *s, const struct gossip_options *gossip,
                              struct reason *why)
{
    char text[SCRIPT_OPEN_WHY + 1] = "";
    _Static_assert(sizeof text > LINK_TEXT_MAX, "what the planes say has room too");
    struct calls_config calls = {.post = post_frame, .ctx = s};
    memcpy(calls.me, s->trust.node, SH_NODE_ID_BYTES);
    struct apply_config apply = {.wal = s->wal,
                                 .fsm = s->fsm,
                                 .applied = s->applied.index,
                                 .on_applied = service_on_applied,
                                 .ctx = s};
    struct proposals_config proposals = {.send = service_send, .late = service_late, .ctx = s};
    enum sh_err err = members_open(&s->members, s->trust.node);
    err = err != SH_OK ? err : proposals_open(&proposals, &s->proposals);
    err = err != SH_OK ? err : reads_open(&s->reads, service_ask_read, s, READS_RESEND_US);
    err = err != SH_OK ? err : calls_open(&s->calls, &calls);
    struct blobs_config blobs = {.store = s->blob, .calls = s->calls, .members = s->members};
    memcpy(blobs.me, s->trust.node, SH_NODE_ID_BYTES);
    err = err != SH_OK ? err : blobs_open(&s->blobs, &blobs);
    err = err != SH_OK ? err : records_open(&s->records, s);
    struct snapshots_config snapshots = {.fsm = s->fsm,
                                         .calls = s->calls,
                                         .schema = JOBS_SCHEMA,
                                         .quiet = tables_are_quiet,
                                         .ctx = s};
    memcpy(snapshots.me, s->trust.node, SH_NODE_ID_BYTES);
    err = err != SH_OK ? err : snapshots_open(&s->snapshots, &snapshots);
    err = err != SH_OK ? err : disk_open(&s->disk, s->wal);
    err = err != SH_OK ? err : bulk_open(&s->bulk, s);
    err = err != SH_OK ? err : planner_open(&s->planner, s);
    err = err != SH_OK ? err : housekeeping_open(&s->housekeeping, s);
    err = err != SH_OK ? err : vitals_open(&s->vitals, s);
    err = err != SH_OK ? err : runners_open(s, text);
    s->applied_index = s->applied.index;
    apply.proposals = s->proposals;
    err = err != SH_OK ? err : apply_open(&s->apply, &apply);
    err = err != SH_OK ? err : loop_open(&s->loop, s, gossip, text);
    if (err != SH_OK) {
        (void)snprintf(why->text, sizeof why->text, "%s",
                       text[0] != '\0' ? text : sh_err_text(err));
    }
    return err;
}

static void join_addresses(struct service *s)
{
    for (size_t i = 0; i < s->options->join_count; i++) {
        struct link_addr addrs[4];
        uint32_t count = 0;
        enum sh_err err =
            link_addr_resolve(s->options->join[i], AGENT_LISTEN_PORT, addrs, 4, &count);
        if (err != SH_OK) {
            journal_error("--join %s: %s", s->options->join[i], sh_err_text(err));
        }
        for (uint32_t k = 0; err == SH_OK && k < count; k++) {
            loop_post_join(s->loop, &addrs[k]);
        }
    }
}

static enum sh_err start_parts(struct service *s, struct reason *why)
{
    struct fsm_view *view;
    enum sh_err err = fsm_view_open(s->fsm, &view);
    if (err == SH_OK) {
        service_learn_nodes(s, fsm_view_table(view));
        fsm_view_close(view);
    }
    join_addresses(s);
    err = err != SH_OK ? err : apply_start(s->apply);
    err = err != SH_OK ? err : snapshots_start(s->snapshots);
    err = err != SH_OK ? err : bulk_start(s->bulk);
    err = err != SH_OK ? err : planner_start(s->planner);
    err = err != SH_OK ? err : vitals_start(s->vitals);
    err = err != SH_OK ? err : train_start(s->train);
    err = err != SH_OK ? err : housekeeping_start(s->housekeeping);
    if (err != SH_OK) {
        because(why, "starting", err);
        return err;
    }
    struct api_config api = {.listen = s->options->api, .token_file = s->options->api_token_file};
    char text[256];
    err = api_start(&api, s, &s->api, text, sizeof text);
    if (err != SH_OK) {
        (void)snprintf(why->text, sizeof why->text, "%s", text);
    }
    return err;
}

/* Restored tables begin a cluster of their own: agents that went on without them would not agree
 * with it on anything since. */
static enum sh_err check_restored(struct service *s, struct reason *why)
{
    uint8_t from[SH_CLUSTER_ID_BYTES];
    size_t used = 0;
    enum sh_err err = dir_read(s->dir, STORES_RESTORED, from, sizeof from, &used, why->text);
    if (err != SH_OK) {
        return err == SH_ERR_NOT_FOUND ? SH_OK : err;
    }
    bool same = used == sizeof from && memcmp(from, s->trust.cluster, sizeof from) == 0;
    if (same || (!s->options->new_cluster && s->boot.identity.handle == 0)) {
        (void)snprintf(why->text, sizeof why->text,
                       "%s was restored from a backup: start it with --new and %s, so that it "
                       "forms a cluster of its own; other agents then join it",
                       dir_path(s->dir), same ? "another --secret" : "without --join");
        return SH_ERR_CLUSTER;
    }
    return SH_OK;
}

/* --new forms a cluster in a fresh directory, and what a crash interrupted is finished. In the
 * directory of an agent that waits to be admitted it would form a second cluster with the same
 * secret. */
static enum sh_err found_if_asked(struct service *s, struct reason *why)
{
    bool founding = false;
    enum sh_err err = check_restored(s, why);
    err = err != SH_OK ? err : has_mark(s, STORES_FOUNDING, &founding, why);
    if (err == SH_OK && s->boot.identity.handle == 0 && !founding && s->options->new_cluster) {
        (void)snprintf(why->text, sizeof why->text,
                       "%s belongs to an agent that waits to be admitted to a cluster: start it "
                       "with --join, or form a cluster in an empty directory",
                       dir_path(s->dir));
        return SH_ERR_CONFLICT;
    }
    if (err != SH_OK || !founding) {
        return err;
    }
    if (s->boot.identity.handle == 0) {
        err = founding_write(s);
        if (err != SH_OK) {
            because(why, "founding the cluster", err);
            return err;
        }
        /* Read back what a restart would read. */
        wal_close(s->wal);
        s->wal = NULL;
        fsm_close(s->fsm);
        s->fsm = NULL;
        err = open_log(s, why);
    }
    err = err != SH_OK ? err : dir_remove(s->dir, STORES_RESTORED, why->text);
    return err != SH_OK ? err : dir_remove(s->dir, STORES_FOUNDING, why->text);
}

static enum sh_err check_options(const struct agent_options *o, struct reason *why)
{
    if (!wire_name_ok(o->name)) {
        (void)snprintf(why->text, sizeof why->text,
                       "--name %s: letters, digits, \".\", \"_\" and \"-\", the first a letter "
                       "or digit",
                       o->name);
        return SH_ERR_INVALID;
    }
    if (!wire_addr_ok(o->api)) {
        (void)snprintf(why->text, sizeof why->text, "--api %s: must be HOST:PORT", o->api);
        return SH_ERR_INVALID;
    }
    return SH_OK;
}

static enum sh_err open_all(struct service *s, struct reason *why)
{
    struct gossip_options gossip;
    struct kn_diag diag;
    enum sh_err err = check_options(s->options, why);
    err = err != SH_OK ? err : dir_open(s->options->data_dir, &s->dir, why->text);
    err = err != SH_OK ? err : open_trust(s, why);
    err = err != SH_OK ? err : open_stores(s, why);
    if (err == SH_OK && kn_open(&diag) != KN_OK) {
        (void)snprintf(why->text, sizeof why->text, "%s", diag.text);
        err = SH_ERR_UNSUPPORTED;
    }
    if (err == SH_OK) {
        describe_self(s);
        err = open_link(s, &gossip, why);
    }
    (void)snprintf(s->self.api, sizeof s->self.api, "%s", s->options->api);
    err = err != SH_OK ? err : found_if_asked(s, why);
    err = err != SH_OK ? err : open_parts(s, &gossip, why);
    return err != SH_OK ? err : start_parts(s, why);
}

/* ---- stopping ---- */

/* First whatever others wait in is ended, then those who wait. */
static void stop_threads(struct service *s)
{
    service_end_waits(s);
    if (s->proposals != NULL) {
        proposals_stop(s->proposals);
    }
    if (s->reads != NULL) {
        reads_stop(s->reads);
    }
    if (s->blobs != NULL) {
        blobs_stop(s->blobs);
    }
    if (s->calls != NULL) {
        calls_stop(s->calls);
    }
    if (s->api != NULL) {
        api_stop(s->api);
    }
    if (s->train != NULL) {
        train_stop(s->train);
    }
    if (s->planner != NULL) {
        planner_stop(s->planner);
    }
    if (s->housekeeping != NULL) {
        housekeeping_stop(s->housekeeping);
    }
    if (s->vitals != NULL) {
        vitals_stop(s->vitals);
    }
    if (s->records != NULL) {
        records_stop(s->records);
    }
    if (s->snapshots != NULL) {
        snapshots_stop(s->snapshots);
    }
    if (s->bulk != NULL) {
        bulk_stop(s->bulk);
    }
    if (s->apply != NULL) {
        apply_stop(s->apply);
    }
    if (s->disk != NULL) {
        disk_stop(s->disk);
    }
}

static void close_all(struct service *s)
{
    stop_threads(s);
    loop_close(s->loop);
    apply_close(s->apply);
    runners_close(s);
    housekeeping_close(s->housekeeping);
    vitals_close(s->vitals);
    planner_close(s->planner);
    bulk_close(s->bulk);
    disk_close(s->disk);
    snapshots_close(s->snapshots);
    records_close(s->records);
    blobs_close(s->blobs);
    calls_close(s->calls);
    reads_close(s->reads);
    proposals_close(s->proposals);
    members_close(s->members);
    if (s->link != NULL) {
        link_close(s->link, 200);
    }
    if (s->blob != NULL) {
        blob_close(s->blob);
    }
    if (s->fsm != NULL) {
        fsm_close(s->fsm);
    }
    if (s->wal != NULL) {
        wal_close(s->wal);
    }
    if (s->bulk_kv != NULL) {
        kv_close(s->bulk_kv);
    }
    if (s->state != NULL) {
        kv_close(s->state);
    }
    if (s->dir != NULL) {
        trust_close(&s->trust);
        dir_close(s->dir);
    }
}

/* What SIGTERM and SIGINT ask to leave. A handler, not a blocked signal with a waiting thread:
 * OpenBLAS starts its threads before main, with every signal open, and the default action of one of
 * them would end the process. */
static _Atomic(struct loop *) leaving_loop;
static atomic_bool leave_asked; /* perhaps before there was a loop */
static atomic_uint in_handler;  /* threads that may be using leaving_loop */

static void on_signal(int number)
{
    (void)number;
    atomic_fetch_add(&in_handler, 1);
    atomic_store(&leave_asked, true);
    struct loop *loop = atomic_load(&leaving_loop);
    if (loop != NULL) {
        int saved = errno;
        loop_leave(loop);
        errno = saved;
    }
    atomic_fetch_sub(&in_handler, 1);
}

enum sh_err agent_run(struct service *s)
{
    atomic_store(&leaving_loop, s->loop);
    if (atomic_load(&leave_asked)) {
        loop_leave(s->loop);
    }
    enum sh_err err = loop_run(s->loop);
    atomic_store(&leaving_loop, NULL);
    while (atomic_load(&in_handler) > 0) { /* a few instructions of another thread */
        SH_CHECK(sched_yield() == 0);
    }
    return err;
}

static void prepare_process(void)
{
    struct sigaction leave = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct rlimit files;
    (void)sigemptyset(&leave.sa_mask);
    SH_CHECK(sigaction(SIGTERM, &leave, NULL) == 0);
    SH_CHECK(sigaction(SIGINT, &leave, NULL) == 0);
    (void)signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files); /* stays as it is: fewer connections */
    }
}

enum sh_err agent_open(const struct agent_options *options, struct service **out,
                       char why[static AGENT_WHY_BYTES])
{
    struct reason reason = {.text = ""};
    struct service *s = calloc(1, sizeof *s);
    if (s == NULL) {
        (void)snprintf(why, AGENT_WHY_BYTES, "%s", sh_err_text(SH_ERR_NO_MEMORY));
        return SH_ERR_NO_MEMORY;
    }
    prepare_process();
    sh_host_init();
    journal_open(options->name, JOURNAL_INFO);
    s->options = options;
    s->start_us = sh_now_us();
    s->trust.lock_fd = -1;
    pthread_condattr_t attr;
    SH_CHECK(pthread_condattr_init(&attr) == 0);
    SH_CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    SH_CHECK(pthread_mutex_init(&s->lock, NULL) == 0);
    SH_CHECK(pthread_cond_init(&s->applied_more, &attr) == 0);
    SH_CHECK(pthread_condattr_destroy(&attr) == 0);
    enum sh_err err = open_all(s, &reason);
    if (err != SH_OK) {
        (void)snprintf(why, AGENT_WHY_BYTES, "%s", reason.text);
        agent_close(s);
        return err;
    }
    char id[2 * SH_NODE_ID_BYTES + 1];
    sh_hex(id, s->trust.node, SH_NODE_ID_BYTES);
    journal_info("agent %s (%.8s) at %s, API http://%s", options->name, id, s->self.addr,
                 s->self.api);
    *out = s;
    return SH_OK;
}

void agent_close(struct service *s)
{
    close_all(s);
    SH_CHECK(pthread_cond_destroy(&s->applied_more) == 0);
    SH_CHECK(pthread_mutex_destroy(&s->lock) == 0);
    free(s);
}

int agent_main(const struct agent_options *options)
{
    char why[AGENT_WHY_BYTES];
    struct service *s = NULL;
    enum sh_err err = agent_open(options, &s, why);
    if (err != SH_OK) {
        (void)fprintf(stderr, "shoal agent: %s\n", why);
        return exit_of(err);
    }
    err = agent_run(s);
    agent_close(s);
    return exit_of(err);
}
