// tidwall/wal: a log of entries with dense indexes in segment files; each write is one call to the system.
package main

import (
	"sync"

	"github.com/tidwall/wal"
)

type walStore struct {
	log   *wal.Log
	mutex sync.Mutex // guards next: an entry says its index, so writers take turns
	next  uint64
}

func openWal(directory string, isSynced bool) (store, error) {
	options := *wal.DefaultOptions
	options.NoSync = !isSynced
	options.NoCopy = true
	log, why := wal.Open(directory+"/wal", &options)
	if why != nil {
		return nil, why
	}
	last, why := log.LastIndex()
	return &walStore{log: log, next: last + 1}, why
}

func (s *walStore) writer() appender {
	var batch wal.Batch
	return func(values [][]byte) error {
		s.mutex.Lock()
		defer s.mutex.Unlock()
		if len(values) == 1 {
			why := s.log.Write(s.next, values[0])
			s.next++
			return why
		}
		for _, value := range values {
			batch.Write(s.next, value)
			s.next++
		}
		return s.log.WriteBatch(&batch)
	}
}

func (s *walStore) read(look func(value []byte)) error {
	first, why := s.log.FirstIndex()
	if why != nil {
		return why
	}
	last, why := s.log.LastIndex()
	for at := first; at != 0 && at <= last && why == nil; at++ {
		var value []byte
		if value, why = s.log.Read(at); why == nil {
			look(value)
		}
	}
	return why
}

func (s *walStore) close() error { return s.log.Close() }
