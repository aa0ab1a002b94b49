/* SPDX-License-Identifier: Apache-2.0
 *
 * The one table of verbs: the parser, --help and completion are made from it. */
#include "cli/context.h"

static const struct cli_option AGENT[] = {
    {"--new", 0, NULL, "form a new cluster (once, on the first machine)"},
    {"--join", 0, "HOST:PORT", "an agent of the cluster to join; may be repeated"},
    {"--secret", 0, "FILE", "the cluster secret (default: DATA/secret)"},
    {"--data", 0, "DIR", "where this agent keeps everything"},
    {"--listen", 0, "HOST:PORT", "gossip and control; bulk is the next port (0.0.0.0:7711)"},
    {"--advertise", 0, "HOST:PORT", "the address others reach this agent at (found out)"},
    {"--api", 0, "HOST:PORT", "the HTTP interface (127.0.0.1:8711)"},
    {"--api-token", 0, "FILE", "token that the HTTP interface asks for"},
    {"--name", 0, "NAME", "the name shown to people (the host name)"},
    {"--threads", 0, "N", "cores for training (all)"},
    {"--zone", 0, "ZONE", "agents of one zone fail together (those of one machine)"},
    {"--voters", 0, "N", "at most so many agents vote: 1, 3, 5 or 7; the same everywhere (5)"},
    {"--log-entries", 0, "N", "keep N to 2N entries of the log for those who are behind (8192)"},
    {"--allow-commands", 0, NULL, "run commands of jobs of kind exec on this machine"},
    {"--run-as", 0, "ID", "first id of the users that they run as, 0: as the agent (root: 60600)"},
    {"--sandbox-min", 0, "LEVEL", "the least they run in: none, basic or strict (basic)"},
    {"--label", 0, "KEY=VALUE", "a label that jobs may ask for; may be repeated"},
    {"--slots", 0, "N", "units that run here at a time (4)"},
    {"--hours", 0, "HH:MM-HH:MM", "take new work at these hours only, by the local clock"},
    {"--busy", 0, "PERCENT", "take no new work while others use so much of the cores (never)"},
    {"--on-mains", 0, NULL, "take no new work while a battery feeds this machine"},
    {"--copies", 0, "N", "agents that hold what is kept, where there are as many (3)"},
    {"--keep-uploads", 0, "TIME", "uploads that no job names yet (24h)"},
    {"--collect-every", 0, "TIME", "look so often for what nothing needs (10m)"},
    {"--collect-grace", 0, "TIME", "and leave what is younger (15m)"},
    {"--config", 0, "FILE", "settings (/etc/shoal/agent.yaml)"},
};
static const struct cli_option DEMO[] = {
    {"--keep", 0, NULL, "leave the agents' directories behind"},
    {"--dir", 0, "DIR", "where to put them (a temporary directory)"},
};
static const struct cli_option INIT[] = {
    {"--secret", 0, "FILE", "where to write it (cluster.secret)"},
};
static const struct cli_option SUBMIT[] = {
    {"--idempotency-key", 0, "KEY", "submitting again with it gives the same job"},
    {"--owner", 0, "NAME", "whose job it is, for quotas and fair shares ($USER)"},
    {"--wait", 0, NULL, "stay until the job has ended"},
};
static const struct cli_option PAUSE[] = {
    {"--now", 0, NULL, "at once, without a checkpoint first"},
};
static const struct cli_option RESUME[] = {
    {"--epochs", 0, "N", "training that has ended: up to so many in all"},
    {"--from", 0, "STEP", "from this checkpoint, not the newest"},
};
static const struct cli_option CHECKPOINTS[] = {
    {"--get", 0, "STEP", "fetch this one: of training as a model, else as it is kept"},
    {"--unit", 0, "N", "of this unit (0)"},
    {"--kept", 0, NULL, "as it is kept, also of training"},
    {"--output", 'o', "FILE", "where to put it (NAME-UNIT-step-STEP); - is standard output"},
};
static const struct cli_option PS[] = {
    {"--state", 0, "STATE", "only these: waiting, running, pausing, paused, stopping, ..."},
    {"--owner", 0, "NAME", "only jobs of this owner"},
    {"--limit", 0, "N", "how many, newest first (20)"},
    {"--before", 0, "N", "the next page: what the last one said"},
};
static const struct cli_option WATCH[] = {
    {"--from", 0, "REVISION", "changes after this one (of all jobs)"},
    {"--limit", 0, "N", "end after so many changes (of all jobs)"},
};
static const struct cli_option LOGS[] = {
    {"--follow", 'f', NULL, "stay until the job has ended"},
    {"--tail", 0, "N", "only the last N lines"},
    {"--unit", 0, "N", "only lines of this unit"},
    {"--no-prefix", 0, NULL, "leave out which unit and which member of its gang wrote a line"},
};
static const struct cli_option OUTPUTS[] = {
    {"--unit", 0, "N", "of this unit (0)"},
    {"--output", 'o', "DIR", "where to put them: a new folder (NAME-UNIT)"},
};
static const struct cli_option REPLAY[] = {
    {"--states", 0, NULL, "every state of its environment"},
};
static const struct cli_option EVALUATE[] = {
    {"--episodes", 0, "N", "so many (100)"},
    {"--seed", 0, "N", "of their draws (1)"},
    {"--sample", 0, NULL, "actions by chance, as in training; else the likeliest"},
};
static const struct cli_option SWEEP[] = {
    {"--top", 0, "N", "only the N best, the best first"},
};
static const struct cli_option BUNDLE[] = {
    {"--output", 'o', "FILE", "where to put it (NAME-ID.tar)"},
};
static const struct cli_option METRICS[] = {
    {"--csv", 0, NULL, "one row a step, one column a series"},
    {"--from", 0, "STEP", "leave out earlier steps"},
};
static const struct cli_option DATASET_ADD[] = {
    {"--node", 0, "NODE", "the agent whose files these are (the one that is asked)"},
    {"--local", 0, NULL, "each agent holds a part of its own, which never leaves it"},
};
static const struct cli_option DATASET_NODE[] = {
    {"--node", 0, "NODE", "the agent whose files these are (the one that is asked)"},
};
static const struct cli_option DATASET_FILES[] = {
    {"--node", 0, "NODE", "of this agent"},
    {"--under", 0, "FOLDER", "only below this folder of the set"},
    {"--from", 0, "N", "the next page: what the last one said"},
};
static const struct cli_option MODEL_GET[] = {
    {"--output", 'o', "FILE", "where to put it (NAME-VERSION.safetensors); - is standard output"},
};
static const struct cli_option PREDICT[] = {
    {"--invert", 0, NULL, "pictures: dark on light becomes light on dark"},
    {"--top", 0, "N", "how many classes to show (5)"},
    {"--ensemble", 0, NULL, "several models together: NAME for all versions, or A:1,A:2,B@best"},
    {"--deadline", 0, "TIME", "of an ensemble: members that have not answered by then (20m)"},
};
static const struct cli_option GC[] = {
    {"--dry-run", 0, NULL, "only show what would go"},
};
static const struct cli_option RESTORE[] = {
    {"--data", 0, "DIR", "the new agent's directory: absent or empty (required)"},
};
static const struct cli_option CONFIG_SHOW[] = {
    {"--config", 0, "FILE", "settings (/etc/shoal/agent.yaml)"},
};

#define NO_OPTIONS NULL, 0
#define OPTIONS(t) (t), SH_COUNT(t)

const struct cli_verb CLI_VERBS[] = {
    {"agent", "", "run an agent of the cluster in the foreground", OPTIONS(AGENT), 0, 0, false,
     cli_run_agent},
    {"demo", "", "three agents, a job, a killed coordinator: all on this machine", OPTIONS(DEMO), 0,
     0, false, cli_run_demo},
    {"init", "", "make a cluster secret and print what to run where", OPTIONS(INIT), 0, 0, false,
     cli_run_init},
    {"submit", "JOB.yaml", "upload what a job file names and queue the job", OPTIONS(SUBMIT), 1, 1,
     true, cli_run_submit},
    {"validate", "JOB.yaml", "check a job file and its data; print its layers", NO_OPTIONS, 1, 1,
     false, cli_run_validate},
    {"convert", "version.xml", "a job file from one of Conductor, to standard output", NO_OPTIONS,
     1, 1, false, cli_run_convert},
    {"ps", "", "jobs, newest first", OPTIONS(PS), 0, 0, true, cli_run_ps},
    {"watch", "[JOB]", "follow a job: progress, loss and accuracy; or changes of all jobs",
     OPTIONS(WATCH), 0, 1, true, cli_run_watch},
    {"metrics", "JOB", "what a job measured", OPTIONS(METRICS), 1, 1, true, cli_run_metrics},
    {"logs", "JOB", "what a job wrote", OPTIONS(LOGS), 1, 1, true, cli_run_logs},
    {"outputs", "JOB", "fetch the files that a unit left", OPTIONS(OUTPUTS), 1, 1, true,
     cli_run_outputs},
    {"sweep", "JOB", "units of a sweep: their values and scores", OPTIONS(SWEEP), 1, 1, true,
     cli_run_sweep},
    {"rounds", "JOB", "federated rounds: who took part, who did not and why, and measures",
     NO_OPTIONS, 1, 1, true, cli_run_rounds},
    {"result", "JOB", "what an evaluation, a prediction or an ensemble came to", NO_OPTIONS, 1, 1,
     true, cli_run_result},
    {"replay", "JOB EPISODE", "play an episode of a job of kind rl again", OPTIONS(REPLAY), 2, 2,
     true, cli_run_replay},
    {"evaluate", "MODEL", "play episodes with a model of kind rl", OPTIONS(EVALUATE), 1, 1, true,
     cli_run_evaluate},
    {"bundle", "JOB", "fetch all that a job left: file, history, metrics, logs, models, outputs",
     OPTIONS(BUNDLE), 1, 1, true, cli_run_bundle},
    {"why", "JOB", "why a job waits or runs where it does, an agent a line", NO_OPTIONS, 1, 1, true,
     cli_run_why},
    {"stop", "JOB", "stop a job, keeping what there is", NO_OPTIONS, 1, 1, true, cli_run_stop},
    {"pause", "JOB", "let a job's units leave checkpoints and wait", OPTIONS(PAUSE), 1, 1, true,
     cli_run_pause},
    {"resume", "JOB", "let a paused job go on, or training that has ended as a new job",
     OPTIONS(RESUME), 1, 1, true, cli_run_resume},
    {"set", "JOB KEY=NUMBER...", "change replicas or priority of a job", NO_OPTIONS, 2, 3, true,
     cli_run_set},
    {"checkpoints", "JOB", "what a job can go on from, newest first", OPTIONS(CHECKPOINTS), 1, 1,
     true, cli_run_checkpoints},
    {"rm", "JOB", "forget a job that has ended; its models stay", NO_OPTIONS, 1, 1, true,
     cli_run_rm},
    {"nodes", "", "agents and what they have", NO_OPTIONS, 0, 0, true, cli_run_nodes},
    {"node remove", "NAME", "forget an agent that is dead or left; its name is free again",
     NO_OPTIONS, 1, 1, true, cli_run_node_remove},
    {"node drain", "NAME", "let an agent finish what it has and get nothing new", NO_OPTIONS, 1, 1,
     true, cli_run_node_drain},
    {"node undrain", "NAME", "let an agent get work again", NO_OPTIONS, 1, 1, true,
     cli_run_node_undrain},
    {"node parole", "NAME", "end an agent's quarantine now; it tests itself, then is on trial",
     NO_OPTIONS, 1, 1, true, cli_run_node_parole},
    {"status", "", "the agent that answers and its view of the cluster", NO_OPTIONS, 0, 0, true,
     cli_run_status},
    {"dataset add", "NAME PATH", "declare files on an agent as a data set; they stay there",
     OPTIONS(DATASET_ADD), 2, 2, true, cli_run_dataset_add},
    {"dataset show", "NAME", "one data set and who has it", NO_OPTIONS, 1, 1, true,
     cli_run_dataset_show},
    {"dataset preview", "NAME", "its kind, classes, first rows or files", OPTIONS(DATASET_NODE), 1,
     1, true, cli_run_dataset_preview},
    {"dataset files", "NAME", "its files, page by page", OPTIONS(DATASET_FILES), 1, 1, true,
     cli_run_dataset_files},
    {"dataset remove", "NAME", "forget it, or that an agent has it; files stay",
     OPTIONS(DATASET_NODE), 1, 1, true, cli_run_dataset_remove},
    {"dataset list", "", "data sets and who has them", NO_OPTIONS, 0, 0, true,
     cli_run_dataset_list},
    {"model list", "", "finished models", NO_OPTIONS, 0, 0, true, cli_run_model_list},
    {"model show", "NAME[:VERSION|@best]", "one model: digests, measures, where it came from",
     NO_OPTIONS, 1, 1, true, cli_run_model_show},
    {"model get", "NAME[:VERSION|@best]", "fetch model.safetensors", OPTIONS(MODEL_GET), 1, 1, true,
     cli_run_model_get},
    {"model remove", "NAME[:VERSION]", "remove a version of a model, or all of them", NO_OPTIONS, 1,
     1, true, cli_run_model_remove},
    {"predict", "MODEL FILE...", "ask about pictures, WAV, CSV, IDX, text files; - is stdin",
     OPTIONS(PREDICT), 2, CLI_ARGS_MAX, true, cli_run_predict},
    {"gc", "", "delete what nothing needs on all agents: blobs, series, log lines", OPTIONS(GC), 0,
     0, true, cli_run_gc},
    {"backup", "DIR", "copy all that the agent holds to a new directory on its machine", NO_OPTIONS,
     1, 1, true, cli_run_backup},
    {"restore", "DIR", "make a data directory of a backup: the first agent of a new cluster",
     OPTIONS(RESTORE), 1, 1, false, cli_run_restore},
    {"config show", "", "settings of an agent and where each comes from", OPTIONS(CONFIG_SHOW), 0,
     0, false, cli_run_config_show},
    {"config get", "[KEY]", "settings of the cluster that are set", NO_OPTIONS, 0, 1, true,
     cli_run_config_get},
    {"config set", "KEY=NUMBER...", "set some for all agents: reserve, keep-results, quota.OWNER",
     NO_OPTIONS, 1, 16, true, cli_run_config_set},
    {"config unset", "KEY", "give one its default again", NO_OPTIONS, 1, 1, true,
     cli_run_config_unset},
    {"version", "", "the version of this program", NO_OPTIONS, 0, 0, false, cli_run_version},
    {"help", "[VERB...]", "this list, or one verb in full", NO_OPTIONS, 0, 2, false, cli_run_help},
    {"complete", "[VERB...]", "verbs, or options of one, a line each: for shells", NO_OPTIONS, 0, 2,
     false, cli_run_complete},
};

const size_t CLI_VERB_COUNT = SH_COUNT(CLI_VERBS);
