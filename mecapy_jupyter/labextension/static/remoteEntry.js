// Built from src by `npm run build`. source f954833dca2a28d1
(function () {
function plugin(module, exports, require) {
"use strict";var __defProp=Object.defineProperty;var __getOwnPropDesc=Object.getOwnPropertyDescriptor;var __getOwnPropNames=Object.getOwnPropertyNames;var __hasOwnProp=Object.prototype.hasOwnProperty;var __export=(target,all)=>{for(var name in all)__defProp(target,name,{get:all[name],enumerable:!0})},__copyProps=(to,from,except,desc)=>{if(from&&typeof from=="object"||typeof from=="function")for(let key of __getOwnPropNames(from))!__hasOwnProp.call(to,key)&&key!==except&&__defProp(to,key,{get:()=>from[key],enumerable:!(desc=__getOwnPropDesc(from,key))||desc.enumerable});return to};var __toCommonJS=mod=>__copyProps(__defProp({},"__esModule",{value:!0}),mod);var index_exports={};__export(index_exports,{default:()=>index_default});module.exports=__toCommonJS(index_exports);var import_apputils=require("@jupyterlab/apputils"),import_launcher=require("@jupyterlab/launcher"),import_notebook2=require("@jupyterlab/notebook");var widget_default=`/* The live block: one quiet line that follows the notebook's theme. Everything is under .mecapy-block. */

.mecapy-block {
  --mecapy-text: var(--jp-ui-font-color1, var(--vscode-foreground, inherit));
  --mecapy-quiet: var(--jp-ui-font-color2, var(--vscode-descriptionForeground, inherit));
  --mecapy-line: var(--jp-border-color2, var(--vscode-widget-border, #c0c0c0));
  --mecapy-accent: var(--jp-brand-color1, var(--vscode-focusBorder, #1976d2));
  --mecapy-danger: var(--jp-error-color1, #d32f2f);
  position: relative;
  box-sizing: border-box;
  display: flex;
  flex-wrap: nowrap;
  align-items: baseline;
  gap: 0 0.6em;
  max-width: 100%;
  padding: 3px 0 5px 5px; /* where the cell's own text begins */
  color: var(--mecapy-quiet);
  font: var(--jp-ui-font-size1, 13px) / 1.6 var(--jp-ui-font-family, system-ui, sans-serif);
  font-variant-numeric: tabular-nums;
}

.mecapy-block [hidden] {
  display: none;
}

/* A ring: an open quarter while it waits, a turning arc while it runs. */
.mecapy-icon {
  flex: none;
  align-self: flex-start;
  box-sizing: border-box;
  width: 0.9em;
  height: 0.9em;
  margin-top: 0.35em;
  border: 2px solid var(--mecapy-line);
  border-top-color: var(--mecapy-quiet);
  border-radius: 50%;
}

.mecapy-block[data-phase="running"] .mecapy-icon,
.mecapy-block[data-phase="returning"] .mecapy-icon {
  border-top-color: var(--mecapy-accent);
  border-right-color: var(--mecapy-accent);
  animation: mecapy-turn 1.4s linear infinite;
}

/* The line and its buttons; the bar, if there is one, on a row of its own below. */
.mecapy-body {
  display: flex;
  flex-wrap: wrap;
  flex: 1 1 auto;
  align-items: baseline;
  gap: 4px 0.5em;
  min-width: 0;
}

.mecapy-line {
  flex: 0 1 auto;
  min-width: 0;
  margin-right: 0.1em;
}

/* Blocks in the line, so that a narrow window breaks it at a separator. */
.mecapy-part {
  display: inline-block;
  max-width: 100%;
  overflow-wrap: anywhere;
  white-space: pre-wrap;
}

.mecapy-part:not(:last-child)::after {
  content: " \xB7 ";
  color: var(--mecapy-quiet);
}

.mecapy-phase,
.mecapy-clock {
  color: var(--mecapy-text);
}

.mecapy-warning {
  color: var(--jp-warn-color0, #e65100);
}

.mecapy-button {
  flex: none;
  margin: 0;
  padding: 0 0.7em;
  border: 1px solid var(--mecapy-line);
  border-radius: 3px;
  background: transparent;
  color: var(--mecapy-quiet);
  font: inherit;
  font-size: 0.92em;
  line-height: 1.5;
  cursor: pointer;
}

.mecapy-button:hover:enabled {
  border-color: var(--mecapy-quiet);
  color: var(--mecapy-text);
}

.mecapy-cancel:hover:enabled {
  border-color: var(--mecapy-danger);
  color: var(--mecapy-danger);
}

.mecapy-button:focus-visible {
  outline: 2px solid var(--mecapy-accent);
  outline-offset: 1px;
}

.mecapy-button:disabled {
  border-color: transparent;
  cursor: default;
}

.mecapy-progress {
  display: flex;
  flex: 1 0 100%;
  flex-wrap: wrap;
  align-items: center;
  gap: 0 0.8em;
  min-width: 0;
}

.mecapy-bar {
  flex: 0 1 240px;
  height: 4px;
  overflow: hidden;
  border-radius: 2px;
  background: rgb(128 128 128 / 25%);
}

.mecapy-fill {
  height: 100%;
  border-radius: 2px;
  background: var(--mecapy-accent);
  transform: scaleX(0);
  transform-origin: left;
  transition: transform 0.2s linear;
}

/* How much there is to do is not known: a short piece that wanders. */
.mecapy-unknown .mecapy-fill {
  width: 25%;
  transform: none;
  animation: mecapy-wander 2.4s ease-in-out infinite alternate;
}

.mecapy-note {
  min-width: 0;
  overflow-wrap: anywhere;
}

.mecapy-curve {
  width: 40px;
  height: 12px;
  margin-left: 0.5em;
  vertical-align: -1px;
}

.mecapy-curve path {
  fill: currentcolor;
  fill-opacity: 0.45;
}

.mecapy-silent .mecapy-line {
  opacity: 0.55;
}

.mecapy-silent .mecapy-icon,
.mecapy-silent .mecapy-fill {
  animation-play-state: paused;
}

/* For ears only. */
.mecapy-aloud {
  position: absolute;
  width: 1px;
  height: 1px;
  overflow: hidden;
  clip-path: inset(50%);
  white-space: nowrap;
}

@keyframes mecapy-turn {
  to {
    transform: rotate(1turn);
  }
}

@keyframes mecapy-wander {
  to {
    transform: translateX(300%);
  }
}

@media (prefers-reduced-motion: reduce) {
  .mecapy-block[data-phase] .mecapy-icon {
    animation: none;
  }

  .mecapy-block .mecapy-fill {
    transition: none;
    animation: none;
  }
}
`;var import_widgets=require("@lumino/widgets");var MORE="It may run ten minutes longer before its --timeout stops it",WORDS={sending:"sending",queued:"queued",running:"running",returning:"bringing results home"},SVG="http://www.w3.org/2000/svg";function element(tag,className,attributes={}){let node=document.createElement(tag);node.className=className;for(let[name,value]of Object.entries(attributes))node.setAttribute(name,value);return node}function words(node,text){node.firstChild?.nodeType!==Node.TEXT_NODE&&node.prepend(document.createTextNode("")),node.firstChild.data!==text&&(node.firstChild.data=text)}function clockText(seconds){let whole=Math.max(Math.floor(seconds),0),two=count=>String(count).padStart(2,"0"),[hours,minutes,rest]=[Math.floor(whole/3600),Math.floor(whole/60)%60,whole%60];return hours?`${hours}:${two(minutes)}:${two(rest)}`:`${minutes}:${two(rest)}`}function drawCurve(part,heights){let svg=part.querySelector("svg");svg||(svg=document.createElementNS(SVG,"svg"),svg.setAttribute("class","mecapy-curve"),svg.setAttribute("viewBox","0 0 100 30"),svg.setAttribute("preserveAspectRatio","none"),svg.setAttribute("aria-hidden","true"),svg.append(document.createElementNS(SVG,"path")),part.append(svg));let points=heights.map((height,index)=>`${100*index/(heights.length-1)},${30-28*height}`);svg.firstChild.setAttribute("d",`M0,30 L${points.join(" L")} L100,30 Z`)}function controlChannel(model){let kernel=model.widget_manager?.kernel;return model.get("listener")&&typeof kernel?.sendControlMessage=="function"?kernel:null}function tell(model,word){let kernel=controlChannel(model),header={...{msg_id:`mecapy-${Date.now()}-${Math.random()}`,msg_type:"mecapy_request",date:new Date().toISOString(),version:"5.3"},session:kernel.clientId,username:kernel.username??""},content={listener:model.get("listener"),word};kernel.sendControlMessage({header,parent_header:{},metadata:{},content,channel:"control",buffers:[]},!1,!0)}async function ask(method,path){let config=document.getElementById("jupyter-config-data");if(!config)return null;let base=new URL(JSON.parse(config.textContent).baseUrl||"/",window.location.origin);if(base.origin!==window.location.origin)return null;let xsrf=document.cookie.match(/(?:^|;\s*)_xsrf=([^;]*)/)?.[1]??"",headers={"X-XSRFToken":decodeURIComponent(xsrf)};try{let signal=AbortSignal.timeout(4e3),answer=await fetch(new URL(path,base),{method,credentials:"same-origin",headers,signal});return answer.ok?await answer.text()||"{}":null}catch(error){return console.warn("MecaPy: the Jupyter server does not answer",error),null}}async function cancel(model,button2,orphaned){button2.disabled=!0,button2.textContent="Cancelling\u2026",setTimeout(()=>{button2.disabled&&(button2.textContent="Cancel"),button2.disabled=!1},10*1e3);let task=model.get("view").task_id,kernel=model.get("kernel_id");task&&await ask("POST",`mecapy/tasks/${task}/cancel`)||!orphaned&&kernel&&await ask("POST",`api/kernels/${encodeURIComponent(kernel)}/interrupt`)||(orphaned||model.send({type:"cancel"}),!(!orphaned&&!kernel)&&(button2.disabled=!1,button2.textContent=orphaned?`%mecapy cancel ${task.slice(0,8)}`:"Use Interrupt \u25A0",button2.title=orphaned?"Run this in a cell: this page cannot reach MecaPy":"This page cannot reach the Jupyter server: use the notebook's own Interrupt button"))}async function extend(model,button2){button2.disabled=!0;let task=model.get("view").task_id,answer=await ask("POST",`mecapy/tasks/${task}/extend`);button2.disabled=!1,button2.textContent=answer?`+10 min \xB7 up to ${clockText(JSON.parse(answer).timeout_s)}`:`mecapy extend ${task.slice(0,8)}`,button2.title=answer?MORE:"It has the most time already, or this page cannot reach MecaPy: ask in a terminal"}async function told(task,reloaded){let answer=JSON.parse(await ask("GET",`mecapy/tasks/${task}`)??"null");if(!answer)return null;let over=!["queued","running","blocked"].includes(answer.status);if(reloaded){let end=answer.completed_at?Date.parse(answer.completed_at):Date.now(),clock2=answer.started_at?[["plain",clockText((end-Date.parse(answer.started_at))/1e3)]]:[],output=over&&answer.status!=="cancelled"?[["plain",`its output: %mecapy attach ${task.slice(0,8)}`]]:[];return{parts:[["phase",answer.status],...clock2,...output],phase:answer.status,over}}let words2=over?"brings it here":"goes on with it here",parts=[["phase",answer.status],["plain",`%mecapy attach ${task.slice(0,8)} ${words2}`]];return{parts:answer.status==="cancelled"?parts.slice(0,1):parts,phase:answer.status,over}}var ICONS={completed:"\u2714",failed:"\u2716",cancelled:"\u25A0"};function lastLine(name,{parts,phase}){let text=`${ICONS[phase]??"\xB7"} ${parts.map(([,part])=>part).join(" \xB7 ")}`,line=element("div","",{role:"status","aria-label":`MecaPy ${name}: ${phase}`});return line.style.cssText="padding:2px 0 2px 5px;color:var(--jp-ui-font-color2, inherit);font:var(--jp-ui-font-size1, 13px)/1.6 var(--jp-ui-font-family, system-ui, sans-serif)",line.textContent=text,[line.outerHTML,text]}function followTask(view,el,ended){let known={view,reloaded:!0};return render({model:{get:name=>known[name]??"",on(){},off(){},send(){},ended},el})}function build(){let block=element("div","mecapy-block",{role:"group"}),announcer=element("span","mecapy-aloud",{role:"status","aria-live":"polite"}),icon2=element("span","mecapy-icon",{"aria-hidden":"true"}),body=element("div","mecapy-body"),line=element("span","mecapy-line"),cancel3=element("button","mecapy-button mecapy-cancel",{type:"button","aria-label":"Cancel this task"}),detach=element("button","mecapy-button mecapy-detach",{type:"button","aria-label":"Detach: let the task go on without this cell"}),more=element("button","mecapy-button mecapy-more",{type:"button","aria-label":"Let this task run ten minutes longer",title:MORE}),progress=element("div","mecapy-progress"),bar=element("div","mecapy-bar",{role:"progressbar","aria-label":"Progress","aria-valuemin":"0","aria-valuemax":"100"}),fill=element("div","mecapy-fill"),note=element("span","mecapy-note");return cancel3.textContent="Cancel",detach.textContent="Detach",more.textContent="+10 min",detach.title="The task goes on and the notebook is free; %mecapy attach brings it home",bar.append(fill),progress.append(bar,note),body.append(line,cancel3,detach,more,progress),block.append(icon2,body,announcer),{block,announcer,line,cancel:cancel3,detach,more,progress,bar,fill,note}}function render({model,el}){let{block,announcer,line,cancel:cancelButton,detach,more,progress,bar,fill,note}=build();el.append(block);let received=performance.now(),phase="",looking=null,reloaded=model.get("reloaded")===!0,forgotten=reloaded,orphaned=()=>forgotten||performance.now()-received>20*1e3,onStatus=(_,status)=>{forgotten||=["restarting","autorestarting","terminating","dead"].includes(status)};async function look(){let found=orphaned()?await told(model.get("view").task_id,reloaded):null;return found&&reloaded&&(received=performance.now()),found?.over&&model.ended?.(...lastLine(model.get("view").name,found)),found&&orphaned()&&show({...model.get("view"),...found,fraction:null}),looking=found&&!found.over?setTimeout(look,1e3):null,found?.over&&(cancelButton.hidden=!0),found}function tick(){let silent=(performance.now()-received)/1e3;looking===null&&model.get("view").task_id&&orphaned()&&!cancelButton.hidden&&(looking=setTimeout(look,0)),block.classList.toggle("mecapy-silent",silent>20);let clock2=line.querySelector(".mecapy-clock"),{elapsed_s:elapsed,expected}=model.get("view");clock2&&elapsed!=null&&silent<=20&&words(clock2,clockText(elapsed+silent)+(expected??""))}function drawLine(view){let shown=view.parts.filter(([kind])=>kind!=="progress");for(shown.forEach(([kind,text],index)=>{let part=line.children[index]??line.appendChild(element("span",""));part.className=`mecapy-part mecapy-${kind}`,words(part,text),kind==="memory"&&view.curve?.length>1?drawCurve(part,view.curve):part.querySelector("svg")?.remove()});line.children.length>shown.length;)line.lastChild.remove()}function drawProgress(view){let said=view.parts.filter(([kind])=>kind==="progress").map(([,text])=>text);progress.hidden=!said.length||view.phase!=="running",!progress.hidden&&(bar.classList.toggle("mecapy-unknown",view.fraction==null),view.fraction==null?bar.removeAttribute("aria-valuenow"):bar.setAttribute("aria-valuenow",String(Math.round(view.fraction*100))),bar.setAttribute("aria-valuetext",said.join(", ")),fill.style.transform=view.fraction==null?"":`scaleX(${view.fraction})`,words(note,said.join(" \xB7 ")))}function draw(){received=performance.now(),show(model.get("view"))}function show(view){block.dataset.phase=view.phase,block.setAttribute("aria-label",`MecaPy ${view.name}`.trim()),drawLine(view),drawProgress(view),phase!==view.phase&&(announcer.textContent=WORDS[view.phase]??view.phase),phase=view.phase,cancelButton.hidden=phase==="returning",detach.hidden=!view.task_id||!["queued","running"].includes(phase)||!model.get("kernel_id"),more.hidden=!view.task_id||phase!=="running",tick()}let onMore=()=>extend(model,more),onCancel=()=>cancel(model,cancelButton,orphaned()),onDetach=()=>{if(detach.disabled=!0,controlChannel(model))return tell(model,"detach");detach.textContent=`Restart the kernel, then %mecapy attach ${model.get("view").task_id.slice(0,8)}`};cancelButton.addEventListener("click",onCancel),detach.addEventListener("click",onDetach),more.addEventListener("click",onMore);let kernel=model.widget_manager?.kernel;kernel?.statusChanged?.connect(onStatus),model.on("change:view",draw),model.on("change:listener",draw);let timer=setInterval(tick,250);return draw(),()=>{clearInterval(timer),clearTimeout(looking),kernel?.statusChanged?.disconnect(onStatus),model.off("change:view",draw),model.off("change:listener",draw),cancelButton.removeEventListener("click",onCancel),detach.removeEventListener("click",onDetach),more.removeEventListener("click",onMore)}}var BLOCK="application/vnd.mecapy.block+json",WIDGET="application/vnd.jupyter.widget-view+json",WIDGET_WITHIN_MS=1500,BlockRenderer=class extends import_widgets.Widget{constructor(panel){super();this.panel=panel;this.stop=()=>{};this.addClass("mecapy-rendered"),this.layout=new import_widgets.PanelLayout}async renderModel(model){this.stop();let rendermime=this.panel.content.rendermime,layout=this.layout;for(let before of[...layout.widgets])before.dispose();let hasWidget=model.data[WIDGET]&&rendermime.getFactory(WIDGET)&&model.trusted,inner=hasWidget?rendermime.createRenderer(WIDGET):new import_widgets.Widget,last=new import_widgets.Widget;layout.addWidget(inner),layout.addWidget(last);let[live,saved]=[inner.node,last.node],swap=()=>{let shows=live.querySelector(".mecapy-block")!==null;live.style.display=shows?"":"none",shows?leave():waiting??=window.setTimeout(follow,WIDGET_WITHIN_MS)},waiting=null,end=null,leave=()=>{waiting!==null&&window.clearTimeout(waiting),end?.(),waiting=end=null,saved.replaceChildren()},follow=()=>{let view=model.data[BLOCK];end=followTask(view,saved,(html,text)=>{model.setData({data:{"text/html":html,"text/plain":text},metadata:{}}),this.panel.context.model.dirty=!0})},observer=new MutationObserver(swap);observer.observe(live,{childList:!0,subtree:!0}),this.stop=()=>{observer.disconnect(),leave()},hasWidget&&inner.renderModel(model),swap()}dispose(){this.stop(),super.dispose()}};function drawBlocks(tracker){let register=panel=>{let createRenderer=()=>new BlockRenderer(panel);panel.content.rendermime.addFactory({safe:!0,mimeTypes:[BLOCK],createRenderer},-20)};tracker.forEach(register),tracker.widgetAdded.connect((_,panel)=>register(panel))}var INTRO="# A first cell on the pool\n\nRun the cells from above. `%%mecapy` sends its cell to a worker; what it prints appears here while it runs, and its variables are here afterwards.\n`%%mecapy --help` lists the options.",HEAVY=`%%mecapy
import numpy as np
from mecapy_jupyter import track

rng = np.random.default_rng(1)
largest = []
for size in track(range(200, 1200, 50), "matrices"):
    matrix = rng.normal(size=(size, size))
    largest.append(np.abs(np.linalg.eigvals(matrix)).max())
print(f"{len(largest)} matrices")`,HERE=`# Girko's circular law: the largest eigenvalue grows as the square root of the size
[round(float(value / size**0.5), 2) for value, size in zip(largest, range(200, 1200, 50))]`;async function firstCell(app,folder){let{contents,kernelspecs}=app.serviceManager,file=await contents.newUntitled({path:folder,type:"notebook"}),code=source=>({cell_type:"code",source,metadata:{},outputs:[],execution_count:null}),cells=[{cell_type:"markdown",source:INTRO,metadata:{}},...["%load_ext mecapy_jupyter",HEAVY,HERE].map(code)],name=kernelspecs.specs?.default??"python3",kernelspec={name,display_name:kernelspecs.specs?.kernelspecs[name]?.display_name??name,language:"python"};await contents.save(file.path,{type:"notebook",format:"json",content:{cells,metadata:{kernelspec},nbformat:4,nbformat_minor:4}});let path=await contents.rename(file.path,await free(app,folder)).then(renamed=>renamed.path,()=>file.path);return app.commands.execute("docmanager:open",{path,factory:"Notebook"})}async function free(app,folder){let listed=await app.serviceManager.contents.get(folder),taken=new Set(listed.content.map(one=>one.name)),names=["First cell on the pool.ipynb",...Array.from({length:99},(_,index)=>`First cell on the pool ${index+2}.ipynb`)],name=names.find(one=>!taken.has(one))??names[0];return folder?`${folder}/${name}`:name}var import_ui_components=require("@jupyterlab/ui-components"),SVG2='<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24"><g class="jp-icon3" fill="none" stroke="#616161" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"><path d="M3 12 Q12 18 21 12"/><path d="M3 12 l-2 5 h4 z M21 12 l-2 5 h4 z"/><path d="M12 3 v8 M9 8 l3 3 l3 -3"/></g></svg>',icon=new import_ui_components.LabIcon({name:"mecapy-jupyter:icon",svgstr:SVG2});var import_notebook=require("@jupyterlab/notebook"),SETUP="__import__('mecapy_jupyter.cells.setup', fromlist=['about']).about()",ANSWER_WITHIN_MS=500,Notebooks=class{constructor(app,tracker){this.app=app;this.tracker=tracker;this.asking=!1}get current(){return this.tracker?.currentWidget??null}async show(task){if(!task.notebook)return;let here=this.tracker?.find(one=>one.context.path===task.notebook);here&&this.app.shell.activateById(here.id);let panel=here??await this.app.commands.execute("docmanager:open",{path:task.notebook});if(!panel?.content)return;await panel.context.ready;let index=panel.content.widgets.findIndex(cell=>cell.model.id===task.cell);index<0||(panel.content.activeCellIndex=index,await panel.content.scrollToItem(index,"center"))}insert(source){let panel=this.current;return panel?(import_notebook.NotebookActions.insertBelow(panel.content),panel.content.activeCell?.model.sharedModel.setSource(source),panel):null}async attach(task){let panel=this.insert(`%mecapy attach ${task}`);panel&&await import_notebook.NotebookActions.run(panel.content,panel.sessionContext)}toggleMagic(){let model=this.current?.content.activeCell?.model.sharedModel;if(!model)return;let source=model.getSource();model.setSource(source.startsWith("%%mecapy")?source.replace(/^.*\n?/,""):`%%mecapy
${source}`)}async setup(){if(this.asking)return null;this.asking=!0;let asked=this.ask().finally(()=>this.asking=!1);return Promise.race([asked,new Promise(done=>setTimeout(()=>done(null),ANSWER_WITHIN_MS))])}async ask(){let kernel=this.current?.sessionContext.session?.kernel;if(!kernel)return"no notebook is open";if(kernel.status!=="idle")return null;let asked={code:"",silent:!0,store_history:!1,user_expressions:{setup:SETUP}};return((await kernel.requestExecute(asked).done)?.content?.user_expressions?.setup?.data?.["text/plain"]??"").replace(/^['"]|['"]$/g,"").replaceAll("\\n",`
`)||"MecaPy is not in this kernel"}};var import_widgets2=require("@lumino/widgets");async function overview(){return JSON.parse(await ask("GET","mecapy/overview")??"null")}async function cancel2(task){return await ask("POST",`mecapy/tasks/${task}/cancel`)!==null}var LONG_S=60,[SOON_MS,LATER_MS,HIDDEN_MS]=[2e3,8e3,3e4],ICONS2={queued:"\u25D4",blocked:"\u25D4",running:"\u25B6",completed:"\u2714",failed:"\u2716",cancelled:"\u25A0"},LIVE=["queued","blocked","running"];function element2(tag,className,text=""){let node=document.createElement(tag);return node.className=className,text&&(node.textContent=text),node}function button(text,label,act){let node=element2("button","mecapy-button",text);return node.type="button",node.title=label,node.setAttribute("aria-label",label),node.addEventListener("click",event=>{event.stopPropagation(),act(node)}),node}function ranFor(task){return task.started_at?(Date.parse(task.completed_at??new Date().toISOString())-Date.parse(task.started_at))/1e3:0}function clock(seconds){let whole=Math.max(0,Math.floor(seconds)),two=count=>String(count).padStart(2,"0"),hours=Math.floor(whole/3600);return hours?`${hours}:${two(Math.floor(whole/60)%60)}:${two(whole%60)}`:`${Math.floor(whole/60)}:${two(whole%60)}`}function about(task){return task.status==="queued"?[task.position?`place ${task.position}`:"queued",task.why_there].filter(Boolean).join(" \xB7 "):[task.status,task.started_at?clock(ranFor(task)):""].filter(Boolean).join(" \xB7 ")}var Sidebar=class extends import_widgets2.Widget{constructor(notebooks){super();this.notebooks=notebooks;this.timer=0;this.states=new Map;this.shown="";this.setupText="";this.look=async()=>{window.clearTimeout(this.timer);let found=await overview();if(this.isDisposed)return;found&&!found.message&&this.notice(found);let busy=found?.tasks?.some(task=>LIVE.includes(task.status))??!1;this.isVisible&&(this.setupText=await this.notebooks.setup()??this.setupText,this.draw(found)),window.clearTimeout(this.timer);let wait=document.hidden?HIDDEN_MS:busy||this.isVisible?SOON_MS:LATER_MS;this.timer=window.setTimeout(this.look,wait)};this.id="mecapy-sidebar",this.addClass("mecapy-sidebar"),this.title.icon=icon,this.title.caption="MecaPy: my tasks",this.node.setAttribute("role","region"),this.node.setAttribute("aria-label","MecaPy: my tasks"),document.addEventListener("visibilitychange",this.look),this.look()}dispose(){document.removeEventListener("visibilitychange",this.look),window.clearTimeout(this.timer),super.dispose()}onAfterShow(){this.look()}notice(found){let live=found.tasks.filter(task=>LIVE.includes(task.status)).length,{mecapy:_,...others}=this.title.dataset;this.title.dataset=live?{...others,mecapy:String(live)}:others;for(let task of found.tasks){let before=this.states.get(task.task_id);before&&LIVE.includes(before)&&!LIVE.includes(task.status)&&ranFor(task)>=LONG_S&&!document.hasFocus()&&window.Notification?.permission==="granted"&&new Notification(`MecaPy: ${task.name||task.task_id.slice(0,8)} ${task.status}`,{body:clock(ranFor(task)),tag:task.task_id}),this.states.set(task.task_id,task.status)}let listed=new Set(found.tasks.map(task=>task.task_id));for(let id of this.states.keys())listed.has(id)||this.states.delete(id)}draw(found){let state=JSON.stringify([found,this.setupText,Math.floor(Date.now()/1e3)]);if(state===this.shown||this.node.querySelector(".mecapy-sure, button:focus-visible"))return;this.shown=state;let{scrollTop}=this.node;this.node.replaceChildren(...found&&!found.message?this.sections(found):[this.nothing(found?.message)]),this.node.scrollTop=scrollTop}nothing(message){return element2("p","mecapy-quiet",message??"MecaPy does not answer through this Jupyter server; it is asked again in a moment.")}sections(found){let head=element2("section","mecapy-head");for(let words2 of[`${found.queued} queued, ${found.running} running`,found.pool,found.used])words2&&head.append(element2("div","mecapy-quiet",words2));let link=element2("a","mecapy-quiet",found.url.replace(/^https?:\/\//,""));return Object.assign(link,{href:found.url,target:"_blank",rel:"noopener"}),head.append(link,this.notifier()),[head,this.list("My tasks",found.tasks.map(task=>this.task(task)),"no task yet: write %%mecapy above a cell"),this.list("Sweeps",found.sweeps.map(one=>element2("li","mecapy-task",`${one.name} \xB7 ${one.point_count} points \xB7 ${one.state}`)),""),this.list("This notebook",this.setupText.split(`
`).filter(Boolean).map(line=>element2("li","mecapy-setup",line)),"")]}list(title,items,none){let section=element2("section","mecapy-list");if(!items.length&&!none)return section;let list=element2("ul","");return list.append(...items),section.append(element2("h3","",title),items.length?list:element2("p","mecapy-quiet",none)),section}task(task){let short=task.task_id.slice(0,8),item=element2("li",`mecapy-task mecapy-${task.status}`),name=button(`${ICONS2[task.status]??"\xB7"} ${task.name||short}`,task.notebook?`Go to its cell in ${task.notebook}`:short,()=>this.notebooks.show(task));name.classList.add("mecapy-name"),name.disabled=!task.notebook,item.append(name,element2("span","mecapy-quiet",about(task)));let does=element2("span","mecapy-does");return task.status!=="cancelled"&&does.append(button("Attach",`Attach to ${short} in this notebook`,()=>this.notebooks.attach(short))),LIVE.includes(task.status)&&does.append(button("Cancel",`Cancel ${short}`,node=>this.cancel(task,node))),item.append(does),item}async cancel(task,node){if(!node.classList.contains("mecapy-sure")){node.classList.add("mecapy-sure"),node.textContent="Cancel it?",window.setTimeout(()=>node.classList.remove("mecapy-sure"),4e3);return}node.disabled=!0,node.classList.remove("mecapy-sure"),await cancel2(task.task_id),this.look()}notifier(){return!window.Notification||Notification.permission!=="default"?element2("span",""):button("Notify me when a long task ends","By the browser, while this page does not have the focus",async()=>{await Notification.requestPermission(),this.look()})}};var sidebar_default=`.mecapy-sidebar { overflow-y: auto; padding: 8px 10px; background: var(--jp-layout-color1); color: var(--jp-ui-font-color1); font: var(--jp-ui-font-size1)/1.5 var(--jp-ui-font-family); font-variant-numeric: tabular-nums; }
.mecapy-sidebar h3 { margin: 12px 0 4px; font-size: 0.85em; font-weight: 600; letter-spacing: 0.04em; text-transform: uppercase; color: var(--jp-ui-font-color2); }
.mecapy-sidebar ul { margin: 0; padding: 0; list-style: none; }
.mecapy-sidebar .mecapy-quiet { color: var(--jp-ui-font-color2); overflow-wrap: anywhere; }
.mecapy-sidebar .mecapy-head > * { display: block; margin-bottom: 2px; }
.mecapy-sidebar .mecapy-head .mecapy-button { margin-top: 6px; }
.mecapy-sidebar .mecapy-task { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 8px; padding: 3px 0; border-bottom: 1px solid var(--jp-border-color3); }
.mecapy-sidebar .mecapy-setup { white-space: pre-wrap; overflow-wrap: anywhere; font-family: var(--jp-code-font-family); font-size: 0.92em; }
.mecapy-sidebar .mecapy-does { display: inline-flex; gap: 4px; margin-left: auto; }
.mecapy-sidebar .mecapy-button { padding: 0 6px; border: 1px solid var(--jp-border-color2); border-radius: 3px; background: transparent; color: var(--jp-ui-font-color2); font: inherit; font-size: 0.9em; cursor: pointer; }
.mecapy-sidebar .mecapy-button:focus-visible { outline: 2px solid var(--jp-brand-color1); outline-offset: 1px; }
.mecapy-sidebar .mecapy-button:hover:enabled { color: var(--jp-ui-font-color1); border-color: var(--jp-ui-font-color2); }
.mecapy-sidebar .mecapy-button.mecapy-sure { color: var(--jp-error-color1); border-color: var(--jp-error-color1); }
.mecapy-sidebar .mecapy-name { flex: 1 1 auto; min-width: 0; padding: 0; border: none; text-align: left; color: var(--jp-ui-font-color1); font-size: 1em; overflow-wrap: anywhere; }
.mecapy-sidebar .mecapy-name:disabled { cursor: default; }
.mecapy-sidebar .mecapy-name:hover:enabled { text-decoration: underline; }
.mecapy-sidebar .mecapy-failed .mecapy-name { color: var(--jp-error-color1); }
.mecapy-rendered [hidden] { display: none; }
.lm-TabBar-tab[data-mecapy] .lm-TabBar-tabIcon { position: relative; }
.lm-TabBar-tab[data-mecapy] .lm-TabBar-tabIcon::after { content: ""; position: absolute; top: -3px; right: -4px; width: 9px; height: 9px; border: 2px solid var(--jp-layout-color1); border-radius: 50%; background: var(--jp-brand-color1); }
`;function addStyle(){let node=document.createElement("style");node.textContent=`${widget_default}
${sidebar_default}`,document.head.append(node)}function activate(app,tracker,palette,launcher){addStyle();let notebooks=new Notebooks(app,tracker),sidebar=new Sidebar(notebooks);app.shell.add(sidebar,"left",{rank:550,type:"MecaPy"}),tracker&&drawBlocks(tracker);let add=(id,label,execute)=>{app.commands.addCommand(id,{label,icon,execute,isEnabled:()=>id!=="mecapy:magic"||notebooks.current!==null}),palette?.addItem({command:id,category:"MecaPy"})};add("mecapy:tasks","MecaPy: My Tasks",()=>app.shell.activateById(sidebar.id)),add("mecapy:magic","MecaPy: Run This Cell on the Pool, or Here Again",()=>notebooks.toggleMagic()),add("mecapy:attach","MecaPy: Attach to My Last Task",()=>notebooks.attach("last")),add("mecapy:first-cell","MecaPy: first cell",args=>firstCell(app,String(args.cwd??"")));let kernelIconUrl=`data:image/svg+xml,${encodeURIComponent(icon.svgstr)}`;launcher?.add({command:"mecapy:first-cell",category:"Notebook",rank:90,kernelIconUrl})}var plugin={id:"mecapy-jupyter:plugin",description:"Tasks of MecaPy beside the notebooks.",autoStart:!0,optional:[import_notebook2.INotebookTracker,import_apputils.ICommandPalette,import_launcher.ILauncher],activate},index_default=plugin;
}
var shared = ["@jupyterlab/apputils","@jupyterlab/launcher","@jupyterlab/notebook","@jupyterlab/ui-components","@lumino/widgets"], scope;
window._JUPYTERLAB = window._JUPYTERLAB || {};
window._JUPYTERLAB["mecapy-jupyter"] = {
  init: (given) => { scope = given; },
  get: async (name) => {
    const found = {};
    for (const each of shared) {
      const versions = Object.values((scope || {})[each] || {});
      const factory = versions.length ? await (versions.find((one) => one.loaded) || versions[0]).get() : null;
      if (factory) found[each] = factory();
    }
    const module = { exports: {} };
    plugin(module, module.exports, (each) => found[each] || {});
    return () => module.exports;
  },
};
})();
