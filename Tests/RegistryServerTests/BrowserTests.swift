import Foundation
import OCI
import Testing

/// The pages in a browser: what they look like, and what runs.
@Suite(.serialized) struct BrowserTests {
    /// Contrast of every piece of text with what is behind it (WCAG 2, 1.4.3): those below 4.5 to 1.
    private static let faint = """
        (function(){function rgb(t){return t.match(/[0-9.]+/g).map(Number)}
        function light(c){return c.slice(0,3).map(function(v){v/=255;return v<=.03928?v/12.92:Math.pow((v+.055)/1.055,2.4)})
          .reduce(function(s,v,i){return s+v*[.2126,.7152,.0722][i]},0)}
        function behind(n){for(;n;n=n.parentElement){var c=rgb(getComputedStyle(n).backgroundColor);
          if(c.length<4||c[3]>0)return c}return [255,255,255]}
        var bad=[],walk=document.createTreeWalker(document.body,NodeFilter.SHOW_TEXT),t;
        while(t=walk.nextNode()){var e=t.parentElement;if(!t.data.trim()||!e.getClientRects().length||/^(SCRIPT|STYLE)$/.test(e.tagName))continue;
          var a=light(rgb(getComputedStyle(e).color)),b=light(behind(e)),r=(Math.max(a,b)+.05)/(Math.min(a,b)+.05);
          if(r<4.5)bad.push(e.tagName+"."+e.className+" "+r.toFixed(1))}
        return bad.join(", ")})()
        """

    private static func fill(_ lab: RegistryLab) throws {
        let describe = { (text: String) in ["org.opencontainers.image.description": text] }
        _ = try PageTests.push(
            to: lab, "team/server", "1.0", config: PageTests.config, annotations: describe("The server of the team"))
        _ = try PageTests.push(
            to: lab, "team/client", "latest", config: PageTests.config,
            annotations: describe(PageTests.hostile))
        let long = (1...6).map { "component-\($0)-of-a-very-long-name" }.joined(separator: "/")
        _ = try PageTests.push(to: lab, long, "a-long-tag-that-does-not-end-soon-0123456789", config: PageTests.config)
    }

    private static let paths = [
        "/", "/repositories", "/r/team/server", "/r/team/server:1.0", "/r/team/client:latest", "/search?q=team",
        "/search?q=zzz",
        "/r/no/such", "/r/team/server?tags=all",
    ]

    @Test func `pages are seen in light and dark, wide and narrow, without a word from elsewhere`() throws {
        let lab = try RegistryLab()
        try Self.fill(lab)
        let browser = try Browser()
        try browser.resize(1200, 800)
        let blank = try browser.screenshot()
        for path in Self.paths {
            var shots: Set<Data> = []
            for (width, dark) in [(1200, false), (1200, true), (360, false)] {
                try browser.resize(width, 800)
                try browser.prefer(dark: dark)
                try browser.visit("http://\(lab.address)\(path)")
                let what = "\(path), \(width) wide, \(dark ? "dark" : "light")"
                let shot = try browser.screenshot()
                #expect(shot.count > blank.count * 2, "\(what) is blank")
                shots.insert(shot)
                #expect(try browser.text(Self.faint) == "", "\(what) has text that is hard to read")
                let overflow = try browser.evaluate("document.documentElement.scrollWidth - innerWidth") as? Int
                #expect((overflow ?? 1) <= 0, "\(what) is too wide")
                #expect(try browser.evaluate("performance.getEntriesByType('resource').length") as? Int == 0, "\(what)")
            }
            #expect(shots.count == 3, "\(path) looks the same in all ways")
        }
        #expect(browser.complaints == [])
    }

    @Test func `every control and picture has a name, and headings do not skip a level`() throws {
        let lab = try RegistryLab()
        try Self.fill(lab)
        let browser = try Browser()
        for path in Self.paths {
            try browser.visit("http://\(lab.address)\(path)")
            let nameless = try browser.text(
                """
                [...document.querySelectorAll("a,button,input")].filter(function(e){
                return !(e.textContent.trim()||e.getAttribute("aria-label")||e.title)}).map(function(e){return e.outerHTML}).join()
                """)
            #expect(nameless == "", "\(path)")
            let skipped = try browser.text(
                """
                (function(){var last=0,bad="";document.querySelectorAll("h1,h2,h3,h4,h5,h6").forEach(function(h){
                var n=+h.tagName[1];if(n>last+1)bad+=h.outerHTML;last=n});return bad})()
                """)
            #expect(skipped == "", "\(path)")
            let landmarks = try browser.evaluate(
                "['header','nav','main','footer','[role=search]'].every(function(s){return document.querySelector(s)})")
            #expect(landmarks as? Bool == true, "\(path)")
            #expect(
                try browser.evaluate(
                    "new Set([...document.querySelectorAll('[id]')].map(e=>e.id)).size===document.querySelectorAll('[id]').length"
                ) as? Bool == true)
        }
    }

    @Test func `a page is read without scripts, and has buttons that copy with them`() throws {
        let lab = try RegistryLab()
        try Self.fill(lab)
        let browser = try Browser()
        try browser.visit("http://\(lab.address)/r/team/server:1.0")
        #expect(try browser.evaluate("document.querySelectorAll('.copy button').length") as? Int == 1)
        #expect(
            try browser.text("document.querySelector('.copy code').textContent")
                == "docker pull \(lab.address)/team/server:1.0")
        try browser.send("Emulation.setScriptExecutionDisabled", ["value": true])
        try browser.visit("http://\(lab.address)/r/team/server:1.0")
        #expect(try browser.evaluate("document.querySelectorAll('button').length") as? Int == 1)
        let text = try browser.text("document.body.innerText")
        for part in ["team/server:1.0", "linux/arm64/v8", "Layers and history", "Configuration"] {
            #expect(text.contains(part), "no \(part)")
        }
    }

    @Test func `results come while a query is typed`() throws {
        let lab = try RegistryLab()
        try Self.fill(lab)
        let browser = try Browser()
        try browser.visit("http://\(lab.address)/")
        func options() throws -> String {
            try browser.text("[...document.querySelectorAll('#found:not([hidden]) li b')].map(e=>e.textContent).join()")
        }
        try browser.press("/", code: 191)
        #expect(try browser.text("document.activeElement.name") == "q")
        try browser.type("team/cl")
        #expect(try soon { try options() == "team/client" })
        #expect(try browser.evaluate("document.querySelectorAll('#found img, #found script').length") as? Int == 0)
        #expect(try browser.text("document.activeElement.getAttribute('aria-expanded')") == "true")
        try browser.press("Escape", code: 27)
        #expect(try browser.evaluate("document.getElementById('found').hidden") as? Bool == true)
        try browser.type("ient")
        #expect(try soon { try options() == "team/client" })
        try browser.press("ArrowDown", code: 40)
        #expect(try browser.text("document.activeElement.getAttribute('aria-activedescendant')") == "found0")
        try browser.press("Enter", code: 13)
        #expect(try soon { try browser.text("location.pathname") == "/r/team/client" })
        try browser.visit("http://\(lab.address)/")
        try browser.press("/", code: 191)
        try browser.type("qqqqqqqq")
        #expect(
            try soon { try browser.text("document.getElementById('found').textContent").hasPrefix("Nothing found") })
        try browser.press("Enter", code: 13)
        #expect(try soon { try browser.text("location.pathname + location.search") == "/search?q=qqqqqqqq" })
        #expect(browser.complaints == [])
    }
}
