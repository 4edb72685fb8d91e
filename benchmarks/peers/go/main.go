// Go's side of benchmarks/peers: a process that is told over pipes what to do, as process_peer.hpp says, so that its rounds
// interleave with the others'. Each library stands behind `store`, in a file of its own.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

const (
	turns     = 64
	mostBatch = 100
)

// Appends one record or a batch, and returns when it is as durable as the store was opened for. One for each goroutine.
type appender func(values [][]byte) error

type store interface {
	writer() appender
	// Calls `look` for each record, from the first on.
	read(look func(value []byte)) error
	close() error
}

type library struct {
	module string
	open   func(directory string, isSynced bool) (store, error)
}

var libraries = map[string]library{
	"wal": {"github.com/tidwall/wal", openWal},
}

// The library's version and the compiler's.
func versionOf(module string) string {
	version := "unknown"
	if info, isThere := debug.ReadBuildInfo(); isThere {
		for _, one := range info.Deps {
			if one.Path == module {
				version = strings.TrimPrefix(one.Version, "v")
			}
		}
	}
	return version + " (" + runtime.Version() + ")"
}

type harness struct {
	store    store
	values   [][]byte
	batch    int
	isSynced bool
}

type share struct {
	records int64
	times   []int64
	failure error
}

func main() {
	allowed := affinity()
	var one harness
	in := bufio.NewScanner(os.Stdin)
	out := bufio.NewWriter(os.Stdout)
	fmt.Fprintln(out, "ready")
	for out.Flush(); in.Scan(); out.Flush() {
		answer, why := one.answer(strings.Fields(in.Text()), allowed)
		if why != nil {
			answer = "failed " + strings.ReplaceAll(why.Error(), "\n", " ")
		}
		fmt.Fprintln(out, answer)
	}
}

func (h *harness) answer(words []string, allowed []int) (string, error) {
	switch words[0] {
	case "version":
		return versionOf(libraries[words[1]].module), nil
	case "open":
		var why error
		h.isSynced = words[3] == "1"
		h.batch = number(words[5])
		h.values = valuesOf(number(words[4]))
		h.store, why = libraries[words[2]].open(words[1], h.isSynced)
		return "0", why
	case "append":
		seconds, why := strconv.ParseFloat(words[2], 64)
		if why != nil {
			return "", why
		}
		return h.append(int64(number(words[1])), time.Duration(seconds*1e9), number(words[3]), words[4] == "1", allowed)
	case "read":
		return h.read(allowed)
	case "close":
		why := h.store.close()
		h.store = nil
		runtime.GC() // not while somebody else is measured
		return "0", why
	}
	return "", fmt.Errorf("%s?", words[0])
}

func number(word string) int {
	value, why := strconv.Atoi(word)
	if why != nil {
		panic(why)
	}
	return value
}

// The values that everybody appends (value_store in peer.hpp).
func valuesOf(valueBytes int) [][]byte {
	all := make([]byte, valueBytes*mostBatch)
	word := uint32(1)
	for at := 0; at < len(all); at += 4 {
		word = word*1664525 + 1013904223
		mixed := word ^ word>>16
		for i := 0; i < 4; i++ {
			all[at+i] = byte(mixed >> (8 * i))
		}
	}
	made := make([][]byte, mostBatch)
	for i := range made {
		made[i] = all[i*valueBytes : (i+1)*valueBytes]
	}
	return made
}

// The answer: nanoseconds, then per writer the records; where timed, then ns of each append.
func (h *harness) append(records int64, most time.Duration, writers int, isTimed bool, allowed []int) (string, error) {
	shares := make([]share, writers)
	begin := make(chan struct{})
	var ready, done sync.WaitGroup
	ready.Add(writers)
	done.Add(writers)
	for i := range shares {
		go func(i int) {
			defer done.Done()
			if writers <= 2 && !h.isSynced { // who waits for the disk goes where the scheduler likes
				runtime.LockOSThread() // for good: the thread ends with the goroutine
				pin(allowed, i)
			}
			write := h.store.writer()
			if isTimed {
				shares[i].times = make([]int64, 0, 1<<16)
			}
			ready.Done()
			<-begin
			h.write(write, records/int64(writers)/int64(h.batch)*int64(h.batch), most, isTimed, &shares[i])
		}(i)
	}
	ready.Wait()
	began := time.Now()
	close(begin)
	done.Wait()
	taken := time.Since(began)
	answer := strconv.AppendInt(nil, taken.Nanoseconds(), 10)
	for _, one := range shares {
		if one.failure != nil {
			return "", one.failure
		}
		answer = strconv.AppendInt(append(answer, ' '), one.records, 10)
	}
	for _, one := range shares {
		for _, time := range one.times {
			answer = strconv.AppendInt(append(answer, ' '), time, 10)
		}
	}
	return string(answer), nil
}

func (h *harness) write(write appender, most int64, long time.Duration, isTimed bool, mine *share) {
	stretch := int64(128) // records between two looks at the clock
	if isTimed || h.batch > 1 {
		stretch = int64(h.batch)
	}
	began := time.Now()
	for before := time.Duration(0); mine.records < most; {
		for stop := mine.records + stretch; mine.records < stop && mine.records < most; mine.records += int64(h.batch) {
			values := h.values[:h.batch]
			if h.batch == 1 {
				values = h.values[mine.records%turns:][:1]
			}
			if mine.failure = write(values); mine.failure != nil {
				return
			}
		}
		after := time.Since(began)
		if isTimed {
			mine.times = append(mine.times, (after - before).Nanoseconds())
			before = after
		}
		if after >= long {
			return
		}
	}
}

// The answer: records, sum of first bytes, nanoseconds.
func (h *harness) read(allowed []int) (string, error) {
	answer := make(chan string)
	failure := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		pin(allowed, 0)
		records, sum := 0, 0
		began := time.Now()
		why := h.store.read(func(value []byte) {
			records++
			sum += int(value[0])
		})
		taken := time.Since(began).Nanoseconds()
		failure <- why
		answer <- fmt.Sprint(records, sum, taken)
	}()
	return <-answer, <-failure
}

const maskWords = 16

// The cores that the process may have.
func affinity() []int {
	var mask [maskWords]uint64
	syscall.RawSyscall(syscall.SYS_SCHED_GETAFFINITY, 0, unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask)))
	var cores []int
	for core := 0; core < maskWords*64; core++ {
		if mask[core/64]>>(core%64)&1 != 0 {
			cores = append(cores, core)
		}
	}
	return cores
}

// Keeps the calling thread on one of them. Without it: as the scheduler likes.
func pin(allowed []int, number int) {
	if number < len(allowed) {
		var mask [maskWords]uint64
		mask[allowed[number]/64] = 1 << (allowed[number] % 64)
		syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask)))
	}
}
