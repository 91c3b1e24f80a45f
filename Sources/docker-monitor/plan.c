// The launch plan: mapped once, every offset checked before anything follows it.
#include "monitor.h"

#include <sys/mman.h>
#include <sys/stat.h>

const struct lp_header *plan;

static bool string_inside(uint32_t offset) { return offset == 0 || (offset >= sizeof *plan && offset < plan->total_bytes); }

static bool list_inside(uint32_t offset, uint32_t count) {
    if (count == 0) return true;
    if (offset % sizeof(uint32_t) || offset < sizeof *plan || offset > plan->total_bytes) return false;
    if (count > (plan->total_bytes - offset) / sizeof(uint32_t)) return false;
    const uint32_t *items = (const uint32_t *)((const char *)plan + offset);
    for (uint32_t i = 0; i < count; i++)
        if (!string_inside(items[i])) return false;
    return true;
}

static bool op_valid(const struct lp_op *op) {
    if (op->code == 0 || op->code >= LP_OP_CODES) return false;
    if (!string_inside(op->s0) || !string_inside(op->s1) || !string_inside(op->s2)) return false;
    if (!list_inside(op->list, op->list_count)) return false;
    if (op->code == LP_OP_SECCOMP && (op->a > plan->total_bytes || op->b > plan->total_bytes - op->a)) return false;
    if ((op->code == LP_OP_BIND_OPEN || op->code == LP_OP_BIND_ATTACH) && op->c >= LP_SLOTS_MAX) return false;
    return true;
}

bool plan_load(int fd) {
    struct stat status;
    if (fstat(fd, &status) != 0) return false;
    if (status.st_size < (off_t)sizeof *plan || status.st_size > (off_t)LP_BYTES_MAX) return false;
    const struct lp_header *header = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (header == MAP_FAILED) return false;
    if (header->magic != LP_MAGIC || header->version != LP_VERSION || header->total_bytes != status.st_size) return false;
    // Whatever string is followed ends inside the block.
    if (((const char *)header)[header->total_bytes - 1] != 0) return false;
    plan = header;
    if (plan->op_count > LP_OPS_MAX || plan->ops_offset % 8 || plan->ops_offset < sizeof *plan) return false;
    if (plan->ops_offset + (uint64_t)plan->op_count * sizeof(struct lp_op) > plan->total_bytes) return false;
    for (uint32_t i = 0; i < plan->op_count; i++)
        if (!op_valid(plan_op(i))) return false;
    if (plan->argument_count == 0 || !string_inside(plan->log_path) || !string_inside(plan->log_attributes)) return false;
    if (strlen(plan_string(plan->log_attributes)) > LP_LOG_ATTRIBUTES_BYTES_MAX) return false;
    if (plan->log_queue_bytes > LP_LOG_QUEUE_BYTES_MAX) return false;
    return list_inside(plan->arguments, plan->argument_count) && list_inside(plan->environment, plan->environment_count);
}
