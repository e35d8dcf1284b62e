package config

func (c *Config) check() Problems { return nil }
