// Libraries that program the kernel's filters: libnftables (packets) and libseccomp (system calls).
#include <nftables/libnftables.h>
#include <seccomp.h>
