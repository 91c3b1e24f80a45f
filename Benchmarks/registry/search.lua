-- Requests of Benchmarks/registry/search, for wrk: pushes that fill a registry, or searches in it.
-- Environment: MODE=fill|search, REPOSITORIES, TAGS (of each repository), DONE (file that says all has been pushed).
local mode = os.getenv("MODE")
local repositories, tags = tonumber(os.getenv("REPOSITORIES")), tonumber(os.getenv("TAGS"))
local type = "application/vnd.oci.image.index.v1+json"

-- Numbers that follow from another one alone: every run makes the same repositories.
local function mixed(seed)
   local x = (seed * 2654435761 + 12345) % 4294967296
   for _ = 1, 3 do x = (x * 1103515245 + 12345) % 4294967296 end
   return math.floor(x / 16)
end

local syllables = { "ba", "ce", "di", "fo", "gu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "zu", "har", "ben",
   "lin", "dor", "mux" }
local function word(number)
   local text = ""
   for _ = 1, 2 + number % 3 do
      text = text .. syllables[number % #syllables + 1]
      number = math.floor(number / #syllables) + 7 * (number % 11)
   end
   return text
end

-- Few words are common, as in any language.
local function common(seed) return word(math.floor(4000 * ((mixed(seed) % 10000) / 10000) ^ 3)) end

local function name(repository)
   local seed = mixed(repository)
   return word(seed % 3000) .. "/" .. common(repository * 7 + 1) .. "-" .. word(repository) .. repository
end

local versions = { "latest", "stable", "edge" }
local function tag(number) return versions[number + 1] or ("1." .. number .. "-" .. (number % 2 == 0 and "alpine" or "slim")) end

local function description(repository)
   local words = {}
   for place = 1, 10 do words[place] = common(repository * 31 + place) end
   return table.concat(words, " ")
end

local next = 0
local function fill()
   local place = next
   next = next + 1
   local repository = math.floor(place / tags)
   if repository >= repositories then
      wrk.thread:stop()
      repository = 0
      io.open(os.getenv("DONE"), "w"):close()
   end
   local body = '{"schemaVersion":2,"mediaType":"' .. type .. '","manifests":[],"annotations":{' ..
      '"org.opencontainers.image.description":"' .. description(repository) .. '",' ..
      '"org.opencontainers.image.vendor":"' .. word(mixed(repository) % 500) .. '"}}'
   return wrk.format("PUT", "/v2/" .. name(repository) .. "/manifests/" .. tag(place % tags),
      { ["Content-Type"] = type, ["Content-Length"] = #body }, body)
end

-- What people type: names as they grow letter by letter, words of descriptions, a tag beside a name, a wrong letter.
local kinds = {
   function(seed) return common(seed):sub(1, 1 + seed % 6) end,
   function(seed) return name(mixed(seed) % repositories):match("/(.*)") end,
   function(seed) return common(seed) .. " " .. common(seed + 1) end,
   function(seed) return common(seed) .. " alpine" end,
   function(seed) return name(mixed(seed) % repositories):sub(1, 6 + seed % 8) end,
   function(seed)
      local text = word(mixed(seed) % repositories)
      return text:sub(1, 2) .. "q" .. text:sub(4)
   end,
}

local function search()
   next = next + 1
   local text = kinds[next % #kinds + 1](next)
   return wrk.format("GET", "/api/v1/search?q=" .. text:gsub(" ", "+"):gsub("/", "%%2F"))
end

function request() return mode == "fill" and fill() or search() end

function done(summary, latency)
   local failed = summary.errors.status + summary.errors.read + summary.errors.timeout
   io.write(string.format("result %d %.3f %.3f %.3f %d\n", summary.requests,
      summary.requests / (summary.duration / 1e6), latency:percentile(50) / 1000, latency:percentile(99) / 1000, failed))
end
