// The io_uring operations we use, over liburing: bulk reads and writes of registered buffers, and fsync.
#ifndef CLINUX_RING_H
#define CLINUX_RING_H

#include <stdint.h>
#include <stddef.h>

struct io_uring;

// O_DIRECT of this architecture, which the Glibc module does not offer.
int cl_o_direct(void);

// A ring for one submitting thread; NULL with errno set when the kernel refuses.
struct io_uring *cl_ring_create(unsigned entries);
void cl_ring_destroy(struct io_uring *ring);
// Registers `count` buffers of `size` bytes that start at `base`. A kernel limit (RLIMIT_MEMLOCK) may refuse with ENOMEM.
int cl_ring_register_buffers(struct io_uring *ring, void *base, size_t size, unsigned count);
// Queues one operation; `tag` comes back with its completion. -1 when the submission queue is full.
// `buffer_index` < 0: the memory is not registered.
int cl_ring_write(struct io_uring *ring, int fd, const void *data, unsigned length, uint64_t offset, int buffer_index, uint64_t tag);
int cl_ring_read(struct io_uring *ring, int fd, void *data, unsigned length, uint64_t offset, int buffer_index, uint64_t tag);
int cl_ring_fsync(struct io_uring *ring, int fd, int data_only, uint64_t tag);
// Submits what is queued; with wait_for > 0 sleeps until so many completions are there. Negative errno on failure.
int cl_ring_submit(struct io_uring *ring, unsigned wait_for);
// Takes one completion: 1 when there was one, 0 when none.
int cl_ring_completion(struct io_uring *ring, uint64_t *tag, int32_t *result);

#endif
