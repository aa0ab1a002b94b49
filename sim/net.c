/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/parts.h"

#include <stdlib.h>
#include <string.h>

/* Takes msg. */
static void put_on_way(struct sim *sim, struct sim_msg *msg, uint64_t at_us)
{
    sim_queue_push(
        &sim->queue,
        (struct sim_event){.at = at_us, .who = msg->to, .kind = SIM_EV_MESSAGE, .body = msg});
}

bool sim_send(struct sim *sim, uint32_t from, uint32_t to, enum sim_plane plane, const void *bytes,
              size_t size)
{
    struct sim_link *link = &sim->links[from][to];
    SH_CHECK(from != to);
    SH_CHECK_CMP(size, <=, SIM_SCRATCH_BYTES);
    if (sim->agents[from]->doomed) {
        return true;
    }
    sim->counts.messages++;
    struct sim_passage way = sim_link_send(link, &sim->options.net, &sim->rng, sim->now_us);
    sim->overtaken_us = way.overtakes ? sim->now_us : sim->overtaken_us;
    sim->counts.lost += way.copies == 0;
    for (uint32_t i = 0; i < way.copies; i++) {
        struct sim_msg *msg = malloc(sizeof *msg + size);
        SH_CHECK(msg != NULL);
        *msg = (struct sim_msg){.from = from,
                                .to = to,
                                .from_wipes = sim->agents[from]->wipes,
                                .to_wipes = sim->agents[to]->wipes,
                                .plane = plane,
                                .size = (uint32_t)size};
        if (size > 0) {
            memcpy(msg->bytes, bytes, size);
        }
        put_on_way(sim, msg, way.at_us[i]);
    }
    return !way.refused;
}

void sim_deliver(struct sim *sim, struct sim_msg *msg)
{
    struct sim_agent *to = sim->agents[msg->to];
    bool same = msg->to_wipes == to->wipes && msg->from_wipes == sim->agents[msg->from]->wipes;
    if (sim->links[msg->from][msg->to].cut || !to->up || !same) {
        sim->counts.lost++;
        free(msg);
        return;
    }
    switch (msg->plane) {
    case SIM_RAFT:
        sim_replica_receive(sim, to, (struct sh_span){.at = msg->bytes, .size = msg->size});
        break;
    case SIM_SWIM:
    case SIM_SWIM_CONTROL:
        sim_gossip_receive(sim, to, msg);
        break;
    case SIM_PROPOSE:
        sim_proposals_receive(sim, to, (struct sh_span){.at = msg->bytes, .size = msg->size});
        break;
    case SIM_LOST:
        sim_planner_report(sim, to, (struct sh_span){.at = msg->bytes, .size = msg->size});
        break;
    case SIM_TRAIN:
        sim_work_receive(sim, to, msg);
        break;
    case SIM_SNAPSHOT:
        sim_snapshots_receive(sim, to, msg);
        break;
    }
    free(msg);
}

void sim_say_down(struct sim *sim, uint32_t from)
{
    for (uint32_t to = 0; to < sim->agent_count; to++) {
        struct sim_link *link = &sim->links[from][to];
        if (to != from && !link->cut && sim->agents[to]->up) {
            uint64_t at = sim_link_arrival(link, &sim->options.net, &sim->rng, sim->now_us);
            sim_queue_push(&sim->queue, (struct sim_event){.at = at,
                                                           .who = to,
                                                           .life = sim->agents[to]->life,
                                                           .kind = SIM_EV_BROKEN,
                                                           .arg = from});
        }
    }
}
