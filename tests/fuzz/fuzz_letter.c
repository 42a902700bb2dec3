/* What the keeper is told by its predecessor: read whole or refused, and what is read is written
 * again as it was. */
#include "keeper/letter.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int read_octets(const uint8_t *octets, size_t size, struct letter *letter)
{
	struct why why;
	int fd = memfd_create("letter", MFD_CLOEXEC);
	if (write(fd, octets, size) != (ssize_t)size)
		abort();
	return letter_read(fd, letter, &why);
}

static void check_copy(const struct letter *letter)
{
	struct letter copy;
	struct why why;
	int fd = letter_write(letter, &why);
	assert(fd >= 0);
	assert(letter_read(fd, &copy, &why) == 0);
	assert(copy.to == letter->to && copy.kept == letter->kept && copy.again == letter->again);
	assert(copy.legs_count == letter->legs_count &&
	       copy.listener_count == letter->listener_count);
	for (size_t i = 0; i < copy.legs_count; i++)
		assert(memcmp(&copy.legs[i], &letter->legs[i], sizeof(copy.legs[i])) == 0);
	assert(copy.word_count == letter->word_count && !copy.words[copy.word_count]);
	for (size_t i = 0; i < copy.word_count; i++)
		assert(strcmp(copy.words[i], letter->words[i]) == 0);
	assert(copy.config_length == letter->config_length);
	assert(copy.fastpath_length == letter->fastpath_length);
	letter_clear(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct letter letter;
	if (read_octets(data, size, &letter) == 0)
		check_copy(&letter);
	else
		assert(!letter.words && !letter.legs && letter.to == LETTER_TO_NOBODY);
	letter_clear(&letter);
	return 0;
}
