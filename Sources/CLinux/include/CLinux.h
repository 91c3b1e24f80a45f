// The Linux system calls and structures that Glibc's Swift overlay does not offer.
// Every function returns what the system call returns: >= 0, or -1 with errno set.
#ifndef CLINUX_H
#define CLINUX_H

#include <stdint.h>
#include <stddef.h>
#include <sys/types.h>

#include "ring.h"
#include "isolation.h"
#include "sys.h"
#include "nodes.h"
#include "quota.h"

#endif
