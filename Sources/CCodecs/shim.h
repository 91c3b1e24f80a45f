// The compression libraries of layers: ISA-L (deflate and CRC-32 of gzip), libzstd, libbz2, liblzma.
#include <isa-l/igzip_lib.h>
#include <isa-l/crc.h>
#include <zstd.h>
#include <zstd_errors.h>
#include <bzlib.h>
#include <lzma.h>
